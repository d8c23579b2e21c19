// Values and indices of the first k entries of rows: values [rows, k], indices [rows, k] from entries [rows, padded] and x [rows, columns].

struct Sizes {
  u32 rows, columns, k, padded;
};

extern "C" __global__ void __launch_bounds__(256) run(const u32* __restrict__ x, const u64* __restrict__ entries, u32* __restrict__ values, u32* __restrict__ indices, const Sizes* __restrict__ sizes) {
  const u64 number = (u64)blockIdx.x * 256 + threadIdx.x;
  if (number >= (u64)sizes->rows * sizes->k) return;
  const u64 row = number / sizes->k;
  const u32 index = (u32)entries[row * sizes->padded + number % sizes->k];
  values[number] = x[row * sizes->columns + index];
  indices[number] = index;
}
