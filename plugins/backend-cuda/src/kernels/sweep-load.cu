// Columns in visiting order: columns [size, rows] from weight [rows, size], column `order[position]` at each position.

struct Sizes {
  u32 rows, size;
};

extern "C" __global__ void __launch_bounds__(256) run(const float* __restrict__ weight, const u32* __restrict__ order, float* __restrict__ columns, const Sizes* __restrict__ sizes) {
  const u64 index = (u64)blockIdx.x * 256 + threadIdx.x;
  if (index >= (u64)sizes->rows * sizes->size) return;
  columns[index] = weight[index % sizes->rows * sizes->size + order[index / sizes->rows]];
}
