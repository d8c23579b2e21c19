// The damped Hessian as it is factorized: the lower triangle of J (scale G + shift I) J in visiting order, J the reversal. A column of zeros gets 1 on the diagonal.

struct Sizes {
  u32 size, unused;
  double scale, shift;
};

extern "C" __global__ void __launch_bounds__(256) run(const float* __restrict__ gram, const u32* __restrict__ order, double* __restrict__ matrix, const Sizes* __restrict__ sizes) {
  const u64 index = (u64)blockIdx.x * 256 + threadIdx.x;
  const u32 size = sizes->size;
  const u32 row = (u32)(index / size);
  const u32 column = (u32)(index % size);
  if (row >= size || column > row) return;
  const double value = (double)gram[(u64)order[size - 1 - row] * size + order[size - 1 - column]] * sizes->scale;
  matrix[index] = column < row ? value : (value == 0.0 ? 1.0 : value) + sizes->shift;
}
