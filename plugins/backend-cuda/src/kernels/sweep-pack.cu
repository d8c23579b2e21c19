// Codes as bytes [rows, size] in natural column order from codes [size, rows] in visiting order; place[column] is a column's position.

struct Sizes {
  u32 rows, size;
};

extern "C" __global__ void __launch_bounds__(256) run(const u32* __restrict__ codes, const u32* __restrict__ place, u8* __restrict__ packed, const Sizes* __restrict__ sizes) {
  const u64 index = (u64)blockIdx.x * 256 + threadIdx.x;
  if (index >= (u64)sizes->rows * sizes->size) return;
  packed[index] = (u8)codes[(u64)place[index % sizes->size] * sizes->rows + index / sizes->size];
}
