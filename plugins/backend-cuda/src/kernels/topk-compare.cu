// One step of a bitonic sort over rows of entries [rows, padded], of a distance beyond what a block holds.

struct Sizes {
  u32 padded, run, distance;
};

extern "C" __global__ void __launch_bounds__(256) run(u64* __restrict__ entries, const Sizes* __restrict__ sizes) {
  const u64 index = (u64)blockIdx.x * 256 + threadIdx.x;
  const u32 pairs = sizes->padded / 2;
  const u64 row = index / pairs;
  const u32 i = (u32)(index % pairs);
  const u32 distance = sizes->distance;
  const u32 low = i / distance * distance * 2 + i % distance;
  u64* at = entries + row * sizes->padded + low;
  const u64 a = at[0];
  const u64 b = at[distance];
  if ((a > b) == ((low & sizes->run) == 0)) {
    at[0] = b;
    at[distance] = a;
  }
}
