// Sorts pieces of rows of entries [rows, padded] in a block's memory (Batcher 1968, bitonic sort). With FROM_X entries are made of x [rows, columns], filled up with the
// last in order, and pieces are sorted by themselves; else the steps of `run` whose distance lies within a piece are carried out. PIECE is a power of two.

struct Sizes {
  u32 columns, padded, run, smallest;
};

extern "C" __global__ void __launch_bounds__(256) run(
#if FROM_X
  const u32* __restrict__ x,
#endif
  u64* __restrict__ entries, const Sizes* __restrict__ sizes) {
  __shared__ u64 piece[PIECE];
  const u32 perRow = sizes->padded / PIECE;
  const u64 row = blockIdx.x / perRow;
  const u32 start = blockIdx.x % perRow * PIECE;
  u64* place = entries + row * sizes->padded + start;
  for (u32 i = threadIdx.x; i < PIECE; i += 256) {
#if FROM_X
    piece[i] = start + i < sizes->columns ? entryOf(x[row * sizes->columns + start + i], start + i, sizes->smallest) : 0xffffffffffffffffull;
#else
    piece[i] = place[i];
#endif
  }
  for (u32 length = FROM_X ? 2 : sizes->run; length <= (FROM_X ? PIECE : sizes->run); length *= 2) {
    for (u32 distance = min(length, (u32)PIECE) / 2; distance > 0; distance /= 2) {
      __syncthreads();
      for (u32 i = threadIdx.x; i < PIECE / 2; i += 256) {
        const u32 low = i / distance * distance * 2 + i % distance;
        const bool ascending = ((start + low) & length) == 0;
        const u64 a = piece[low];
        const u64 b = piece[low + distance];
        if ((a > b) == ascending) {
          piece[low] = b;
          piece[low + distance] = a;
        }
      }
    }
  }
  __syncthreads();
  for (u32 i = threadIdx.x; i < PIECE; i += 256) place[i] = piece[i];
}
