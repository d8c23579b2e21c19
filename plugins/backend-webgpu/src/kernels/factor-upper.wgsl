// The inverse factor of a reversed matrix in the order of columns: upper_ij = matrix_(n-1-i)(n-1-j) for j >= i, rounded to float32, 0 below the diagonal.

struct Sizes {
  first: u32, groups: u32, size: u32,
}

@group(0) @binding(0) var<storage, read> matrix: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read_write> upper: array<f32>;
@group(0) @binding(2) var<uniform> sizes: Sizes;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  let index = group * 256u + thread;
  if (group >= sizes.groups || index >= sizes.size * sizes.size) { return; }
  let row = index / sizes.size;
  let column = index % sizes.size;
  var value = 0.0;
  if (column >= row) { value = matrix[(sizes.size - 1u - row) * sizes.size + sizes.size - 1u - column].x; }
  upper[index] = value;
}
