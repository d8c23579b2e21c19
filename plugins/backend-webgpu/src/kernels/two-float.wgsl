// Numbers as unevaluated sums of two float32, about 48 significant bits (Dekker 1971; Knuth, TAOCP 2, 4.2.2). Compilers may reorder float arithmetic, which would
// cancel what these sums keep: `opaque` hides where a value comes from, by an exclusive or with a uniform that is 0.

fn opaque(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ sizes.zero);
}

// a + b exactly.
fn twoSum(a: f32, b: f32) -> vec2<f32> {
  let sum = opaque(a + b);
  let rest = opaque(sum - a);
  return vec2<f32>(sum, (a - opaque(sum - rest)) + (b - rest));
}

// a b exactly, up to underflow: halves of 12 bits have exact products.
fn twoProduct(a: f32, b: f32) -> vec2<f32> {
  let product = opaque(a * b);
  let a1 = bitcast<f32>(bitcast<u32>(a) & 0xfffff000u);
  let b1 = bitcast<f32>(bitcast<u32>(b) & 0xfffff000u);
  let a2 = a - a1;
  let b2 = b - b1;
  return vec2<f32>(product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2);
}

// A pair whose second part is below half a unit of the first.
fn normal(high: f32, low: f32) -> vec2<f32> {
  let sum = opaque(high + low);
  return vec2<f32>(sum, low - opaque(sum - high));
}

fn add(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let sum = twoSum(a.x, b.x);
  return normal(sum.x, sum.y + (a.y + b.y));
}

fn multiply(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let product = twoProduct(a.x, b.x);
  return normal(product.x, product.y + (a.x * b.y + a.y * b.x));
}

// sum - a b
fn subtractProduct(sum: vec2<f32>, a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let product = twoProduct(a.x, b.x);
  let difference = twoSum(sum.x, -product.x);
  return normal(difference.x, difference.y + (sum.y - product.y - (a.x * b.y + a.y * b.x)));
}

fn divide(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let first = opaque(a.x / b.x);
  let rest = subtractProduct(a, vec2<f32>(first, 0.0), b);
  let second = opaque(rest.x / b.x);
  let third = subtractProduct(rest, vec2<f32>(second, 0.0), b).x / b.x;
  return normal(first, second + third);
}

// For positive a; one step of Newton doubles the digits of the device's root.
fn root(a: vec2<f32>) -> vec2<f32> {
  let first = sqrt(a.x);
  let rest = subtractProduct(a, vec2<f32>(first, 0.0), vec2<f32>(first, 0.0));
  return normal(first, 0.5 * rest.x / first);
}
