// Joins the parts of attention over slices of the keys: y = sum_s e^(m_s - m) o_s / sum_s e^(m_s - m) l_s with m = max m_s, for outputs o, maxima m and sums l in
// partial [splits, batch, keyHeads, rows, valueSize + 2]; y by strides, rows being the queries of the `group` heads of a key head.

struct Sizes {
  first: u32, groups: u32, count: u32, splits: u32,
  keyHeads: u32, rows: u32, queries: u32, group: u32,
  valueSize: u32, yBase: u32, yBatch: u32, yHead: u32,
  yRow: u32,
}

@group(0) @binding(0) var<storage, read> partial: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> sizes: Sizes;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  let index = group * 256u + thread;
  if (group >= sizes.groups || index >= sizes.count * sizes.valueSize) { return; }
  let line = index / sizes.valueSize;
  let column = index % sizes.valueSize;
  let width = sizes.valueSize + 2u;
  var maximum = partial[line * width + sizes.valueSize];
  for (var split = 1u; split < sizes.splits; split++) { maximum = max(maximum, partial[(split * sizes.count + line) * width + sizes.valueSize]); }
  var sum = 0.0;
  var output = 0.0;
  for (var split = 0u; split < sizes.splits; split++) {
    let at = (split * sizes.count + line) * width;
    let factor = exp(partial[at + sizes.valueSize] - maximum);
    output += factor * partial[at + column];
    sum += factor * partial[at + sizes.valueSize + 1u];
  }
  let row = line % sizes.rows;
  let keyHead = (line / sizes.rows) % sizes.keyHeads;
  let batch = line / sizes.rows / sizes.keyHeads;
  y[sizes.yBase + batch * sizes.yBatch + (keyHead * sizes.group + row / sizes.queries) * sizes.yHead + (row % sizes.queries) * sizes.yRow + column] = output / sum;
}
