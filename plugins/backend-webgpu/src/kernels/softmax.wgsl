// Softmax of the rows of x [rows, columns]: y_j = e^(x_j - m) / sum_i e^(x_i - m) with m = max x, or x_j - m - log(sum) where `logarithm` is set.
//
// `lanes` invocations share a row, 256 / lanes rows share a workgroup. A lane keeps its maximum and its sum of e^(x - maximum) together, so that x is read twice
// only (Milakov and Gimelshein 2018, arXiv 1805.02867).

struct Sizes {
  first: u32, groups: u32, rows: u32, columns: u32,
  xBase: u32, yBase: u32, lanes: u32, logarithm: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> sizes: Sizes;

// Maximum and sum of each lane.
var<workgroup> parts: array<vec2<f32>, 256>;

// The least finite number stands for -infinity: differences of it are never NaN.
const LOWEST = -3.4028234e38;

fn merge(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let maximum = max(a.x, b.x);
  return vec2<f32>(maximum, a.y * exp(a.x - maximum) + b.y * exp(b.x - maximum));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  if (group >= sizes.groups) { return; }
  let row = group * (256u / sizes.lanes) + thread / sizes.lanes;
  let lane = thread % sizes.lanes;
  let columns = select(0u, sizes.columns, row < sizes.rows);
  let start = sizes.xBase + row * sizes.columns;
  var part = vec2<f32>(LOWEST, 0.0);
  for (var j = lane; j < columns; j += sizes.lanes) {
    let value = x[start + j];
    if (value > part.x) { part = vec2<f32>(value, part.y * exp(part.x - value) + 1.0); }
    else { part.y += exp(value - part.x); }
  }
  parts[thread] = part;
  workgroupBarrier();
  for (var width = sizes.lanes / 2u; width > 0u; width /= 2u) {
    if (lane < width) { parts[thread] = merge(parts[thread], parts[thread + width]); }
    workgroupBarrier();
  }
  let whole = parts[thread - lane];
  let destination = sizes.yBase + row * sizes.columns;
  let logarithm = log(whole.y);
  let inverse = 1.0 / whole.y;
  for (var j = lane; j < columns; j += sizes.lanes) {
    let shifted = x[start + j] - whole.x;
    if (sizes.logarithm != 0u) { y[destination + j] = shifted - logarithm; }
    else { y[destination + j] = exp(shifted) * inverse; }
  }
}
