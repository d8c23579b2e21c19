// Codes as bytes [rows, size] in natural column order, four to a word, from codes [size, rows] in visiting order; place[column] is a column's position.

struct Sizes {
  first: u32, groups: u32, rows: u32, size: u32,
}

@group(0) @binding(0) var<storage, read> codes: array<u32>;
@group(0) @binding(1) var<storage, read> place: array<u32>;
@group(0) @binding(2) var<storage, read_write> packed: array<u32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  let word = group * 256u + thread;
  let count = sizes.rows * sizes.size;
  if (group >= sizes.groups || word * 4u >= count) { return; }
  var bytes = 0u;
  for (var i = 0u; i < 4u; i++) {
    let index = word * 4u + i;
    if (index < count) { bytes |= codes[place[index % sizes.size] * sizes.rows + index / sizes.size] << (8u * i); }
  }
  packed[word] = bytes;
}
