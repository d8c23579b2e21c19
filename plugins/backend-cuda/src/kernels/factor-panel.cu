// A step of the factorization, what borders its diagonal block: the panel P_i = A_ib L_bb^-T below it, [rows below, 32], and to its left the finished rows
// M_b = L_bb^-1 X_b of the inverse, in place. An invocation takes a row of the panel or a column of M.

struct Sizes {
  u32 stride, first, start, count, below;
};

extern "C" __global__ void __launch_bounds__(64) run(double* __restrict__ matrix, const double* __restrict__ inverse, double* __restrict__ panel, const Sizes* __restrict__ sizes) {
  __shared__ double tile[32][32];
  for (u32 i = threadIdx.x; i < 1024; i += 64) tile[i / 32][i % 32] = inverse[i];
  __syncthreads();
  const u32 stride = sizes->stride;
  matrix += (u64)sizes->first * (sizes->stride + 1);
  const u32 start = sizes->start;
  const u32 count = sizes->count;
  const u32 number = blockIdx.x * 64 + threadIdx.x;
  double line[32];
  if (number < sizes->below) {
    const double* from = matrix + (u64)(start + count + number) * stride + start;
#pragma unroll
    for (int k = 0; k < 32; k++) line[k] = k < count ? from[k] : 0.0;
#pragma unroll
    for (int c = 0; c < 32; c++) {
      double sum = 0.0;
#pragma unroll
      for (int k = 0; k <= c; k++) sum = fma(line[k], tile[c][k], sum);
      panel[(u64)number * 32 + c] = sum;
    }
  } else if (number < sizes->below + start) {
    double* column = matrix + (u64)start * stride + (number - sizes->below);
#pragma unroll
    for (int k = 0; k < 32; k++) line[k] = k < count ? column[(u64)k * stride] : 0.0;
#pragma unroll
    for (int i = 0; i < 32; i++) {
      double sum = 0.0;
#pragma unroll
      for (int k = 0; k <= i; k++) sum = fma(tile[i][k], line[k], sum);
      if (i < count) column[(u64)i * stride] = sum;
    }
  }
}
