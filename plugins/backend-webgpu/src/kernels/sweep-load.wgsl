// Columns in visiting order: columns [size, rows] from weight [rows, size], column `order[position]` at each position.

struct Sizes {
  first: u32, groups: u32, rows: u32, size: u32,
}

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> columns: array<f32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  let index = group * 256u + thread;
  if (group >= sizes.groups || index >= sizes.rows * sizes.size) { return; }
  columns[index] = weight[(index % sizes.rows) * sizes.size + order[index / sizes.rows]];
}
