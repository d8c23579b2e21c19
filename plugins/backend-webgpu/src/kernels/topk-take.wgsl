// Values and indices of the first k entries of rows: values [rows, k], indices [rows, k] from entries [rows, `row`] and x.

struct Sizes {
  first: u32, groups: u32, count: u32, k: u32,
  row: u32, xBase: u32, xRow: u32, valuesBase: u32,
  indicesBase: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> entries: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> values: array<u32>;
@group(0) @binding(3) var<storage, read_write> indices: array<u32>;
@group(0) @binding(4) var<uniform> sizes: Sizes;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  let number = group * 256u + thread;
  if (group >= sizes.groups || number >= sizes.count) { return; }
  let row = number / sizes.k;
  let index = entries[row * sizes.row + number % sizes.k].y;
  values[sizes.valuesBase + number] = x[sizes.xBase + row * sizes.xRow + index];
  indices[sizes.indicesBase + number] = index;
}
