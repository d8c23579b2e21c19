// Product of few rows with a weight of packed integer codes, each code read once: y[i, line] = sum_k x[i, k] value[line, k] + bias[line], for ROWS rows. A warp takes a
// line of the weight, a lane a word of codes (8 of 4 bits or 4 of 8) at a time; blocks are at least 16 long, so that a word lies in one. Layout as in codes-widen.cu.

struct Sizes {
  u32 n, k, blockSize, blocks, rowBytes, zeroRow;
};

#define PER_WORD (32 / BITS)

extern "C" __global__ void __launch_bounds__(256) run(
  const float* __restrict__ x, const u8* __restrict__ codes, const float* __restrict__ scales,
#if ZEROS
  const u8* __restrict__ zeros,
#endif
#if BIAS
  const float* __restrict__ bias,
#endif
  float* __restrict__ y, const Sizes* __restrict__ sizes) {
  const u64 line = (u64)blockIdx.x * 8 + threadIdx.x / 32;
  const u32 lane = threadIdx.x % 32;
  if (line >= sizes->n) return;
  const u32 k = sizes->k;
  const u32* words = (const u32*)(codes + line * sizes->rowBytes);
  float sums[ROWS];
#pragma unroll
  for (int i = 0; i < ROWS; i++) sums[i] = 0.0f;
  for (u32 start = lane * PER_WORD; start < k; start += 32 * PER_WORD) {
    const u32 word = words[start / PER_WORD];
    const u32 block = start / sizes->blockSize;
    const float scale = scales[line * sizes->blocks + block];
#if !ZEROS
    const int zero = 1 << (BITS - 1);
#elif BITS == 4
    const int zero = nibble(zeros + line * sizes->zeroRow, block);
#else
    const int zero = zeros[line * sizes->zeroRow + block];
#endif
#pragma unroll
    for (int c = 0; c < PER_WORD; c++) {
      const float value = scale * (float)((int)((word >> (c * BITS)) & ((1 << BITS) - 1)) - zero);
      const u32 position = start + c;
      if (position < k) {
#pragma unroll
        for (int i = 0; i < ROWS; i++) sums[i] = fmaf(x[(u64)i * k + position], value, sums[i]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < ROWS; i++) {
    float sum = sums[i];
    for (int span = 16; span > 0; span >>= 1) sum += __shfl_down_sync(0xffffffffu, sum, span);
#if BIAS
    sum += bias[line];
#endif
    if (lane == 0) y[(u64)i * sizes->n + line] = sum;
  }
}
