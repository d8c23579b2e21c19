// Codes in words [rows · size · field / 32] in natural column order, `field` bits for each, the first in the lowest bits, from codes [size, rows] in visiting order; place[column] is a column's position.

struct Sizes {
  u32 rows, size, field;
};

extern "C" __global__ void __launch_bounds__(256) run(const u32* __restrict__ codes, const u32* __restrict__ place, u32* __restrict__ packed, const Sizes* __restrict__ sizes) {
  const u32 fields = 32 / sizes->field;
  const u64 word = (u64)blockIdx.x * 256 + threadIdx.x;
  const u64 count = (u64)sizes->rows * sizes->size;
  if (word * fields >= count) return;
  u32 value = 0;
  for (u32 i = 0; i < fields; i++) {
    const u64 index = word * fields + i;
    if (index < count) value |= codes[(u64)place[index % sizes->size] * sizes->rows + index / sizes->size] << (sizes->field * i);
  }
  packed[word] = value;
}
