// Soft thresholding of the rows of a matrix [rows, columns] float32, in place: w = sign(w) · max(|w| − strength · mean|w|, 0), the mean over the row.
// One workgroup a row: partial sums of |w| meet in workgroup memory, then every invocation shrinks its share of the row.

struct Sizes {
  rows: u32,
  columns: u32,
  strength: f32,
  unused: u32,
}

@group(0) @binding(0) var<storage, read_write> weights: array<f32>;
@group(0) @binding(1) var<uniform> sizes: Sizes;

const width = 64u;
var<workgroup> sums: array<f32, width>;

@compute @workgroup_size(width)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) counts: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = id.y * counts.x + id.x;
  if (row >= sizes.rows) { return; }
  let start = row * sizes.columns;
  var sum = 0.0;
  for (var column = thread; column < sizes.columns; column += width) { sum += abs(weights[start + column]); }
  sums[thread] = sum;
  workgroupBarrier();
  for (var span = width / 2u; span > 0u; span >>= 1u) {
    if (thread < span) { sums[thread] += sums[thread + span]; }
    workgroupBarrier();
  }
  let threshold = sizes.strength * sums[0] / f32(sizes.columns);
  for (var column = thread; column < sizes.columns; column += width) {
    let weight = weights[start + column];
    weights[start + column] = sign(weight) * max(abs(weight) - threshold, 0.0);
  }
}
