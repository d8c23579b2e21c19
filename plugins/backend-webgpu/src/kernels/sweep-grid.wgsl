// Integer grids of groups of values, as packages/weights computes them: an invocation takes a group of a row. Value j of row r in group g lies at
// base + r rowStride + (g groupSize + j) columnStride. grids [groups, rows] are (scale, divisor, rest of the divisor, zero); value = scale (code - zero).
//
// Symmetric: scale = 2 max|w| / (2^b - 1), zero = 2^(b-1). Asymmetric: scale = (high - low) / (2^b - 1), zero = round(-low / scale), with low <= 0 <= high. With
// `norm` > 0 the range shrinks by 1 - i/100, i = 0 ... 79, to the first least sum of |error|^norm.

struct Sizes {
  first: u32, groups: u32, rows: u32, size: u32,
  base: u32, rowStride: u32, columnStride: u32, groupSize: u32,
  firstGroup: u32, count: u32, bits: u32, symmetric: u32,
  scaleType: u32, zero: u32, norm: f32,
}

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> grids: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> sizes: Sizes;

// A positive number rounded to the storage type: 0 float32, 1 float16, 2 bfloat16; ties to even.
fn stored(value: f32) -> f32 {
  let bits = bitcast<u32>(value);
  if (sizes.scaleType == 2u) { return bitcast<f32>((bits + 0x7fffu + ((bits >> 16u) & 1u)) & 0xffff0000u); }
  if (sizes.scaleType == 1u) {
    // Below 2^-14 float16 is a multiple of 2^-24.
    if (value < 6.103515625e-5) { return round(value * 16777216.0) * 5.9604644775390625e-8; }
    let rounded = (bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u;
    // From 65520 on it is infinite.
    return bitcast<f32>(select(rounded, 0x7f800000u, rounded >= 0x47800000u));
  }
  return value;
}

// The grid of the range shrunk to `percent`.
fn gridOf(low: f32, high: f32, percent: f32) -> vec4<f32> {
  let largest = f32((1u << sizes.bits) - 1u);
  let middle = f32(1u << (sizes.bits - 1u));
  var range = vec2<f32>(2.0 * max(-low, high), 0.0);
  if (sizes.symmetric == 0u) { range = twoSum(high, -low); }
  let exact = divide(multiply(range, vec2<f32>(percent, 0.0)), vec2<f32>(100.0 * largest, 0.0));
  if (exact.x == 0.0) { return vec4<f32>(1.0, 1.0, 0.0, select(0.0, middle, sizes.symmetric != 0u)); }
  var scale = stored(exact.x);
  var divisor = vec2<f32>(scale, 0.0);
  if (sizes.scaleType == 0u) { divisor = exact; }
  if (scale == 0.0) {
    scale = select(9.183549615799121e-41, 5.9604644775390625e-8, sizes.scaleType == 1u);
    divisor = vec2<f32>(scale, 0.0);
  }
  if (sizes.symmetric != 0u) { return vec4<f32>(scale, divisor, middle); }
  return vec4<f32>(scale, divisor, min(roundQuotient(-low * (percent / 100.0), divisor), largest));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let number = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  let index = number * 64u + thread;
  if (number >= sizes.groups || index >= sizes.count * sizes.rows) { return; }
  let row = index % sizes.rows;
  let group = sizes.firstGroup + index / sizes.rows;
  let start = (index / sizes.rows) * sizes.groupSize;
  let length = min(sizes.groupSize, sizes.size - group * sizes.groupSize);
  let base = sizes.base + row * sizes.rowStride + start * sizes.columnStride;
  var low = 0.0;
  var high = 0.0;
  for (var j = 0u; j < length; j++) {
    let value = values[base + j * sizes.columnStride];
    low = min(low, value);
    high = max(high, value);
  }
  let whole = gridOf(low, high, 100.0);
  var best = whole;
  if (sizes.norm > 0.0 && (low != 0.0 || high != 0.0)) {
    let largest = f32((1u << sizes.bits) - 1u);
    var least = 0.0;
    for (var step = 0u; step < 80u; step++) {
      let grid = gridOf(low, high, f32(100u - step));
      var error = 0.0;
      for (var j = 0u; j < length; j++) {
        let scaled = values[base + j * sizes.columnStride] / grid.y;
        let code = clamp(round(scaled), -grid.w, largest - grid.w);
        error += power(abs(scaled - code));
      }
      error *= power(grid.x / whole.x);
      if (step == 0u || error < least) {
        least = error;
        best = grid;
      }
    }
  }
  grids[group * sizes.rows + row] = best;
}

fn power(x: f32) -> f32 {
  if (x == 0.0) { return 0.0; }
  return exp2(sizes.norm * log2(x));
}
