// A step of the factorization, what lies below: A_ij -= P_i P_j^T for columns after the block, X_ij -= P_i M_bj for those before, X_ib = -P_i L_bb^-1 for its own. A block
// takes a tile of 64 x 64, an invocation every sixteenth row and column of it; the panel is [rows below, 32].

struct Sizes {
  u32 stride, first, size, start, count, tiles;
};

extern "C" __global__ void __launch_bounds__(256) run(double* __restrict__ matrix, const double* __restrict__ panel, const Sizes* __restrict__ sizes) {
  // [k][row] and [k][column].
  __shared__ double left[32][65];
  __shared__ double right[32][65];
  const u32 size = sizes->size;
  const u32 stride = sizes->stride;
  matrix += (u64)sizes->first * (stride + 1);
  const u32 start = sizes->start;
  const u32 after = start + sizes->count;
  const u32 row0 = after + blockIdx.x / sizes->tiles * 64;
  const u32 column0 = blockIdx.x % sizes->tiles * 64;
  if (column0 > row0 + 63) return;
  for (u32 i = threadIdx.x; i < 2048; i += 256) {
    const u32 k = i % 32;
    const u32 line = i / 32;
    left[k][line] = row0 + line < size ? panel[(u64)(row0 - after + line) * 32 + k] : 0.0;
    const u32 column = column0 + line;
    if (column >= after) right[k][line] = column < size ? panel[(u64)(column - after) * 32 + k] : 0.0;
  }
  for (u32 i = threadIdx.x; i < 2048; i += 256) {
    const u32 k = i / 64;
    const u32 line = i % 64;
    const u32 column = column0 + line;
    if (column < after) right[k][line] = k < sizes->count && column <= start + k ? matrix[(u64)(start + k) * stride + column] : 0.0;
  }
  __syncthreads();
  const u32 tx = threadIdx.x % 16;
  const u32 ty = threadIdx.x / 16;
  double sums[4][4];
#pragma unroll
  for (int e = 0; e < 4; e++) {
#pragma unroll
    for (int f = 0; f < 4; f++) {
      const u32 row = row0 + ty + 16 * e;
      const u32 column = column0 + tx + 16 * f;
      const bool own = column >= start && column < after;
      sums[e][f] = row < size && column <= row && !own ? matrix[(u64)row * stride + column] : 0.0;
    }
  }
#pragma unroll 4
  for (int k = 0; k < 32; k++) {
    double rows[4], columns[4];
#pragma unroll
    for (int e = 0; e < 4; e++) {
      rows[e] = left[k][ty + 16 * e];
      columns[e] = right[k][tx + 16 * e];
    }
#pragma unroll
    for (int e = 0; e < 4; e++) {
#pragma unroll
      for (int f = 0; f < 4; f++) sums[e][f] = fma(-rows[e], columns[f], sums[e][f]);
    }
  }
#pragma unroll
  for (int e = 0; e < 4; e++) {
#pragma unroll
    for (int f = 0; f < 4; f++) {
      const u32 row = row0 + ty + 16 * e;
      const u32 column = column0 + tx + 16 * f;
      if (row < size && column <= row) matrix[(u64)row * stride + column] = sums[e][f];
    }
  }
}
