// The diagonal of a Gram matrix [size, size], and whether all of the matrix is finite: `status` becomes 1 when it is not.

struct Sizes {
  u32 size;
};

extern "C" __global__ void __launch_bounds__(256) run(const float* __restrict__ gram, float* __restrict__ diagonal, u32* __restrict__ status, const Sizes* __restrict__ sizes) {
  const u64 index = (u64)blockIdx.x * 256 + threadIdx.x;
  const u32 size = sizes->size;
  if (index >= (u64)size * size) return;
  const float value = gram[index];
  if (isNan(value) || isInfinite(value)) *status = 1;
  if (index / size == index % size) diagonal[index / size] = value;
}
