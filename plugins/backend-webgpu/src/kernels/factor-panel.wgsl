// Step `block` of the factorization, what borders its diagonal block: the panel P_i = A_ib L_bb^-T below it, [rows below, 32], and to its left the finished rows
// M_b = L_bb^-1 X_b of the inverse, in place. An invocation takes a row of the panel or a column of M.

struct Sizes {
  size: u32, start: u32, count: u32, zero: u32,
  first: u32, groups: u32, below: u32,
}

@group(0) @binding(0) var<storage, read_write> matrix: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> inverse: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> panel: array<vec2<f32>>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

var<workgroup> tile: array<vec2<f32>, 1024>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  for (var i = thread; i < 1024u; i += 64u) { tile[i] = inverse[i]; }
  workgroupBarrier();
  let number = group * 64u + thread;
  if (number < sizes.below) {
    let base = (sizes.start + sizes.count + number) * sizes.size + sizes.start;
    for (var c = 0u; c < 32u; c++) {
      var sum = vec2<f32>();
      for (var k = 0u; k <= min(c, sizes.count - 1u); k++) { sum = subtractProduct(sum, matrix[base + k], tile[c * 32u + k]); }
      panel[number * 32u + c] = -sum;
    }
  } else if (number < sizes.below + sizes.start) {
    let column = number - sizes.below;
    // From the bottom: row i needs rows up to i as they were.
    for (var r = sizes.count; r > 0u; r--) {
      let i = r - 1u;
      var sum = vec2<f32>();
      for (var k = 0u; k <= i; k++) { sum = subtractProduct(sum, tile[i * 32u + k], matrix[(sizes.start + k) * sizes.size + column]); }
      matrix[(sizes.start + i) * sizes.size + column] = -sum;
    }
  }
}
