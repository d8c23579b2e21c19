// Weights of packed integer codes as float32 [n, k], for products of many rows: value = scale (code - zero). codes [n, blocks, blockSize BITS / 8] bytes, low bits
// first; scales [n, blocks]; zeros [n, blocks] codes in rows of whole bytes, or 2^(BITS - 1) without ZEROS.

struct Sizes {
  u32 n, k, blockSize, blocks, rowBytes, zeroRow;
};

extern "C" __global__ void __launch_bounds__(256) run(
  const u8* __restrict__ codes, const float* __restrict__ scales,
#if ZEROS
  const u8* __restrict__ zeros,
#endif
  float* __restrict__ y, const Sizes* __restrict__ sizes) {
  const u64 index = (u64)blockIdx.x * 256 + threadIdx.x;
  const u32 k = sizes->k;
  if (index >= (u64)sizes->n * k) return;
  const u64 line = index / k;
  const u32 position = (u32)(index % k);
  const u32 block = position / sizes->blockSize;
  const u8* row = codes + line * sizes->rowBytes;
#if BITS == 4
  const int code = nibble(row, position);
#else
  const int code = row[position];
#endif
#if !ZEROS
  const int zero = 1 << (BITS - 1);
#elif BITS == 4
  const int zero = nibble(zeros + line * sizes->zeroRow, block);
#else
  const int zero = zeros[line * sizes->zeroRow + block];
#endif
  y[index] = scales[line * sizes->blocks + block] * (float)(code - zero);
}
