// Codes in words in natural column order, `field` bits for each, the first in the lowest bits, from codes [size, rows] in visiting order; place[column] is a column's position.

struct Sizes {
  first: u32, groups: u32, rows: u32, size: u32, field: u32,
}

@group(0) @binding(0) var<storage, read> codes: array<u32>;
@group(0) @binding(1) var<storage, read> place: array<u32>;
@group(0) @binding(2) var<storage, read_write> packed: array<u32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  let word = group * 256u + thread;
  let fields = 32u / sizes.field;
  let count = sizes.rows * sizes.size;
  if (group >= sizes.groups || word * fields >= count) { return; }
  var value = 0u;
  for (var i = 0u; i < fields; i++) {
    let index = word * fields + i;
    if (index < count) { value |= codes[place[index % sizes.size] * sizes.rows + index / sizes.size] << (sizes.field * i); }
  }
  packed[word] = value;
}
