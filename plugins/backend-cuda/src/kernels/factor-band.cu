// Finished rows of the inverse to their place: matrix rows from `first` on, their first `first` columns, from band [count, first].

struct Sizes {
  u32 stride, first, count;
};

extern "C" __global__ void __launch_bounds__(256) run(const double* __restrict__ band, double* __restrict__ matrix, const Sizes* __restrict__ sizes) {
  const u64 index = (u64)blockIdx.x * 256 + threadIdx.x;
  const u32 first = sizes->first;
  if (index >= (u64)sizes->count * first) return;
  matrix[(first + index / first) * sizes->stride + index % first] = band[index];
}
