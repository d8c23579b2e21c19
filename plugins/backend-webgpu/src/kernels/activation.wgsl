// Functions that matrix products apply to finished values: relu, gelu (exact and by tanh) and silu = x / (1 + e^-x), by number: 0 none, 1 relu, 2 gelu,
// 3 gelu by tanh, 4 silu.

fn activate(kind: u32, x: f32) -> f32 {
  switch (kind) {
    case 1u: { return max(x, 0.0); }
    case 2u: { return gelu(x); }
    case 3u: {
      // 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))); the argument is bounded where tanh is 1 and e^x would overflow.
      return 0.5 * x * (1.0 + tanh(clamp(0.7978845608028654 * (x + 0.044715 * x * x * x), -20.0, 20.0)));
    }
    case 4u: { return x / (1.0 + exp(-max(x, -88.0))); }
    default: { return x; }
  }
}

// x Phi(x), with the complementary error function as a polynomial times e^-z^2 (Abramowitz and Stegun 1964, 7.1.26: absolute error of erf below 1.5e-7).
fn gelu(x: f32) -> f32 {
  let z = abs(x) * 0.7071067811865476;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let tail = 0.5 * series * exp(-min(z * z, 87.0));
  return x * select(tail, 1.0 - tail, x >= 0.0);
}
