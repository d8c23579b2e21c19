// The inverse factor of a reversed matrix in the order of columns: upper_ij = matrix_(n-1-i)(n-1-j) for j >= i, rounded to float32, 0 below the diagonal.

struct Sizes {
  u32 size;
};

extern "C" __global__ void __launch_bounds__(256) run(const double* __restrict__ matrix, float* __restrict__ upper, const Sizes* __restrict__ sizes) {
  const u64 index = (u64)blockIdx.x * 256 + threadIdx.x;
  const u32 size = sizes->size;
  if (index >= (u64)size * size) return;
  const u32 row = (u32)(index / size);
  const u32 column = (u32)(index % size);
  upper[index] = column >= row ? (float)matrix[(u64)(size - 1 - row) * size + size - 1 - column] : 0.0f;
}
