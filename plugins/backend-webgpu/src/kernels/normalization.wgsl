// Normalisation of the rows of x [rows, columns]: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, the variance being mean((x - mean)^2); the RMS kind
// (`rms`, Zhang and Sennrich 2019, arXiv 1910.07467) takes 0 for the mean. `mean` and `inverse` = 1 / sqrt(variance + epsilon) [rows] are kept where asked for.
//
// `lanes` invocations share a row, 256 / lanes rows share a workgroup. The mean is taken first; second come the squares of differences from it and the differences
// themselves, whose mean is what rounding took from the first one: values that are large beside their spread keep their digits.

struct Sizes {
  first: u32, groups: u32, rows: u32, columns: u32,
  xBase: u32, yBase: u32, meanBase: u32, inverseBase: u32,
  lanes: u32, rms: u32, epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
#if SCALE
@group(0) @binding(1) var<storage, read> scale: array<f32>;
#end
#if BIAS
@group(0) @binding(BIAS_BINDING) var<storage, read> bias: array<f32>;
#end
@group(0) @binding(Y_BINDING) var<storage, read_write> y: array<f32>;
#if MEAN
@group(0) @binding(MEAN_BINDING) var<storage, read_write> means: array<f32>;
#end
#if INVERSE
@group(0) @binding(INVERSE_BINDING) var<storage, read_write> inverses: array<f32>;
#end
@group(0) @binding(SIZES_BINDING) var<uniform> sizes: Sizes;

var<workgroup> parts: array<vec2<f32>, 256>;

// The sum over the lanes of a row, for each of them.
fn total(value: vec2<f32>, thread: u32, lane: u32) -> vec2<f32> {
  workgroupBarrier();
  parts[thread] = value;
  workgroupBarrier();
  for (var width = sizes.lanes / 2u; width > 0u; width /= 2u) {
    if (lane < width) { parts[thread] += parts[thread + width]; }
    workgroupBarrier();
  }
  return parts[thread - lane];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  if (group >= sizes.groups) { return; }
  let row = group * (256u / sizes.lanes) + thread / sizes.lanes;
  let lane = thread % sizes.lanes;
  let columns = select(0u, sizes.columns, row < sizes.rows);
  let start = sizes.xBase + row * sizes.columns;
  let count = f32(sizes.columns);
  var mean = 0.0;
  if (sizes.rms == 0u) {
    var sum = 0.0;
    for (var j = lane; j < columns; j += sizes.lanes) { sum += x[start + j]; }
    mean = total(vec2<f32>(sum, 0.0), thread, lane).x / count;
  }
  var sums = vec2<f32>();
  for (var j = lane; j < columns; j += sizes.lanes) {
    let difference = x[start + j] - mean;
    sums += vec2<f32>(difference * difference, difference);
  }
  sums = total(sums, thread, lane) / count;
  let rest = select(sums.y, 0.0, sizes.rms != 0u);
  let inverse = 1.0 / sqrt(sums.x - rest * rest + sizes.epsilon);
  let destination = sizes.yBase + row * sizes.columns;
  for (var j = lane; j < columns; j += sizes.lanes) {
    var value = (x[start + j] - mean - rest) * inverse;
#if SCALE
    value *= scale[j];
#end
#if BIAS
    value += bias[j];
#end
    y[destination + j] = value;
  }
  if (row < sizes.rows && lane == 0u) {
#if MEAN
    means[sizes.meanBase + row] = mean + rest;
#end
#if INVERSE
    inverses[sizes.inverseBase + row] = inverse;
#end
  }
}
