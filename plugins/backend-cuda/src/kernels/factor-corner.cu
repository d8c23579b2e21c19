// The inverse of a diagonal block as a matrix of its own: corner [count, count] is the lower triangle of matrix at `first`, with zeros above.

struct Sizes {
  u32 stride, first, count;
};

extern "C" __global__ void __launch_bounds__(256) run(const double* __restrict__ matrix, double* __restrict__ corner, const Sizes* __restrict__ sizes) {
  const u32 index = blockIdx.x * 256 + threadIdx.x;
  const u32 count = sizes->count;
  if (index >= count * count) return;
  const u32 row = index / count;
  const u32 column = index % count;
  corner[index] = column <= row ? matrix[(u64)(sizes->first + row) * sizes->stride + sizes->first + column] : 0.0;
}
