// Step `block` of the factorization, what lies below: A_ij -= P_i P_j^T for columns after the block, X_ij -= P_i M_bj for those before, X_ib = -P_i L_bb^-1 for its
// own. A workgroup takes a tile of 32 x 32, an invocation 4 x 4 pairs of it; the panel is [rows below, 32].

struct Sizes {
  size: u32, start: u32, count: u32, zero: u32,
  first: u32, groups: u32, below: u32, tiles: u32,
}

@group(0) @binding(0) var<storage, read_write> matrix: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> panel: array<vec2<f32>>;
@group(0) @binding(2) var<uniform> sizes: Sizes;

// [k][row] and [k][column].
var<workgroup> left: array<vec2<f32>, 1024>;
var<workgroup> right: array<vec2<f32>, 1024>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  if (group >= sizes.groups) { return; }
  let after = sizes.start + sizes.count;
  let row0 = after + (group / sizes.tiles) * 32u;
  let column0 = (group % sizes.tiles) * 32u;
  // Blocks are 32 long but for the last, which has nothing below.
  if (column0 > row0) { return; }
  for (var i = thread; i < 1024u; i += 64u) {
    let k = i / 32u;
    let line = i % 32u;
    var value = vec2<f32>();
    if (row0 + line < sizes.size) { value = panel[(row0 - after + line) * 32u + k]; }
    left[i] = value;
    value = vec2<f32>();
    let column = column0 + line;
    if (column < after) {
      if (column <= sizes.start + k) { value = matrix[(sizes.start + k) * sizes.size + column]; }
    } else if (column < sizes.size) { value = panel[(column - after) * 32u + k]; }
    right[i] = value;
  }
  workgroupBarrier();
  let tx = (thread % 8u) * 4u;
  let ty = (thread / 8u) * 4u;
  for (var e = 0u; e < 4u; e++) {
    let row = row0 + ty + e;
    for (var f = 0u; f < 4u; f++) {
      let column = column0 + tx + f;
      if (row < sizes.size && column <= row) {
        var sum = vec2<f32>();
        if (column < sizes.start || column >= after) { sum = matrix[row * sizes.size + column]; }
        for (var k = 0u; k < 32u; k++) { sum = subtractProduct(sum, left[k * 32u + ty + e], right[k * 32u + tx + f]); }
        matrix[row * sizes.size + column] = sum;
      }
    }
  }
}
