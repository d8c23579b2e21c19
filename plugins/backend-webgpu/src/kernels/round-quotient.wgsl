// The integer nearest to a / b, ties to even, for a pair b: a device's division may be a few units off, which at a tie decides.
fn roundQuotient(a: f32, b: vec2<f32>) -> f32 {
  let first = opaque(a / b.x);
  let rest = subtractProduct(vec2<f32>(a, 0.0), vec2<f32>(first, 0.0), b);
  return round(first + opaque(rest.x / b.x));
}
