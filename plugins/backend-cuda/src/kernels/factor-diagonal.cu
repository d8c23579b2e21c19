// A step of the factorization A = L L^T and of the inverse L^-1, its diagonal block of 32: L_bb by Cholesky, its inverse by substitution. The inverse goes to its place in
// the matrix and, for the other kernels of the step, to `inverse` [32, 32]. `status` becomes the number, from 1, of a pivot that is not positive.
//
// The submatrix at hand begins at row and column `first` of a matrix whose rows are `stride` entries apart; its lower triangle holds L^-1 in rows and columns before the
// block, and what is left of A in those after it.

struct Sizes {
  u32 stride, first, start, count;
};

extern "C" __global__ void __launch_bounds__(32) run(double* __restrict__ matrix, double* __restrict__ inverse, u32* __restrict__ status, const Sizes* __restrict__ sizes) {
  __shared__ double tile[32][33];
  __shared__ double result[32][33];
  const u32 row = threadIdx.x;
  matrix += (u64)sizes->first * (sizes->stride + 1);
  const u32 stride = sizes->stride;
  const u32 start = sizes->start;
  const u32 count = sizes->count;
  for (u32 i = 0; i < 32; i++) {
    // A last block that is shorter is filled up with the unit matrix.
    tile[i][row] = i < count && row <= i ? matrix[(u64)(start + i) * stride + start + row] : i == row ? 1.0 : 0.0;
  }
  __syncwarp();
  for (u32 j = 0; j < 32; j++) {
    double sum = tile[row][j];
    if (row >= j) {
      for (u32 k = 0; k < j; k++) sum = fma(-tile[row][k], tile[j][k], sum);
    }
    __syncwarp();
    if (row == j) {
      if (!(sum > 0.0 && sum < 1e300) && *status == 0) *status = sizes->first + start + j + 1;
      tile[j][j] = sqrt(sum);
    }
    __syncwarp();
    if (row > j) tile[row][j] = sum / tile[j][j];
    __syncwarp();
  }
  // Column `row` of the inverse, from the top: m_i = (e_i - sum_k L_ik m_k) / L_ii.
  for (u32 i = 0; i < 32; i++) {
    double value = 0.0;
    if (i >= row) {
      value = i == row ? 1.0 : 0.0;
      for (u32 k = row; k < i; k++) value = fma(-tile[i][k], result[k][row], value);
      value /= tile[i][i];
    }
    result[i][row] = value;
  }
  __syncwarp();
  for (u32 i = 0; i < 32; i++) {
    inverse[i * 32 + row] = result[i][row];
    if (i < count && row <= i) matrix[(u64)(start + i) * stride + start + row] = result[i][row];
  }
}
