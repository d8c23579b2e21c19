// Step `block` of the factorization A = L L^T and of the inverse L^-1, its diagonal block of 32: L_bb by Cholesky, its inverse by substitution. The inverse goes to
// its place in the matrix and, for the other kernels of the step, to `inverse` [32, 32]. `status` becomes the number of a pivot, from 1, that is not positive.
//
// matrix [size, size], pairs of float32, lower triangle: rows and columns before the block hold L^-1, those after it what is left of A.

struct Sizes {
  size: u32, start: u32, count: u32, zero: u32,
}

@group(0) @binding(0) var<storage, read_write> matrix: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read_write> inverse: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> status: array<u32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

var<workgroup> tile: array<vec2<f32>, 1024>;

@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) row: u32) {
  let base = (sizes.start + row) * sizes.size + sizes.start;
  let inside = row < sizes.count;
  for (var j = 0u; j < 32u; j++) {
    // A last block that is shorter is filled up with the unit matrix.
    var value = vec2<f32>(select(0.0, 1.0, j == row), 0.0);
    if (inside && j <= row) { value = matrix[base + j]; }
    tile[row * 32u + j] = value;
  }
  workgroupBarrier();
  for (var j = 0u; j < 32u; j++) {
    var sum = tile[row * 32u + j];
    if (row >= j) {
      for (var k = 0u; k < j; k++) { sum = subtractProduct(sum, tile[row * 32u + k], tile[j * 32u + k]); }
    }
    workgroupBarrier();
    if (row == j) {
      if (!(sum.x > 0.0 && sum.x < 3e38) && status[0] == 0u) { status[0] = sizes.start + j + 1u; }
      tile[row * 32u + j] = root(sum);
    }
    workgroupBarrier();
    if (row > j) { tile[row * 32u + j] = divide(sum, tile[j * 32u + j]); }
    workgroupBarrier();
  }
  // Column `row` of the inverse, from the top: m_i = (e_i - sum_k L_ik m_k) / L_ii.
  let column = row;
  for (var i = 0u; i < 32u; i++) {
    var value = vec2<f32>();
    if (i >= column) {
      value = vec2<f32>(select(0.0, 1.0, i == column), 0.0);
      for (var k = column; k < i; k++) { value = subtractProduct(value, tile[i * 32u + k], inverse[k * 32u + column]); }
      value = divide(value, tile[i * 32u + i]);
    }
    inverse[i * 32u + column] = value;
    if (i < sizes.count && column <= i && inside) { matrix[(sizes.start + i) * sizes.size + sizes.start + column] = value; }
  }
}
