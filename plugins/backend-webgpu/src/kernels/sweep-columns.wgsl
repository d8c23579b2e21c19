// A block of at most 64 columns of a sweep (GPTQ, Frantar et al. 2022, arXiv 2210.17323, algorithm 1): columns are settled on their grids one after another and
// the error of each, e = (w - scale (code - zero)) / U_ii, is taken out of the later ones of the block. Later blocks follow as a matrix product.
//
// An invocation takes a row through the block, so none waits for another. columns [size, rows] are compensated for all blocks before; `upper` [block, size] are the
// block's rows of U; errors [block, rows] are for the product; codes [size, rows]; losses [rows] sums of e^2 as pairs of float32.

struct Sizes {
  first: u32, groups: u32, rows: u32, size: u32,
  start: u32, count: u32, upperBase: u32, bits: u32,
  zero: u32,
}

@group(0) @binding(0) var<storage, read> upper: array<f32>;
@group(0) @binding(1) var<storage, read> columns: array<f32>;
@group(0) @binding(2) var<storage, read> grids: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> groupOf: array<u32>;
@group(0) @binding(4) var<storage, read_write> errors: array<f32>;
@group(0) @binding(5) var<storage, read_write> codes: array<u32>;
@group(0) @binding(6) var<storage, read_write> losses: array<vec2<f32>>;
@group(0) @binding(7) var<uniform> sizes: Sizes;

// Errors of the block, [column][row]: each invocation reads its own only.
var<workgroup> settled: array<f32, 4096>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  let row = group * 64u + thread;
  if (group >= sizes.groups || row >= sizes.rows) { return; }
  let largest = f32((1u << sizes.bits) - 1u);
  var loss = losses[row];
  if (sizes.start == 0u) { loss = vec2<f32>(); }
  for (var i = 0u; i < sizes.count; i++) {
    let position = sizes.start + i;
    var weight = columns[position * sizes.rows + row];
    for (var k = 0u; k < i; k++) { weight -= settled[k * 64u + thread] * upper[sizes.upperBase + k * sizes.size + position]; }
    let grid = grids[groupOf[position] * sizes.rows + row];
    let code = clamp(roundQuotient(weight, grid.yz) + grid.w, 0.0, largest);
    let error = (weight - grid.x * (code - grid.w)) / upper[sizes.upperBase + i * sizes.size + position];
    settled[i * 64u + thread] = error;
    errors[i * sizes.rows + row] = error;
    codes[position * sizes.rows + row] = u32(code);
    loss = add(loss, twoProduct(error, error));
  }
  losses[row] = loss;
}
