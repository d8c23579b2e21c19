// Combines a pair of floats over the LANES invocations of a block of 256 that share a row, a power of two up to 32 or 256; each of them gets the result.
template <typename Rule> DEVICE float2 acrossLanes(float2 value) {
  for (int span = (LANES < 32 ? LANES : 32) / 2; span > 0; span >>= 1) {
    value = Rule::combine(value, make_float2(__shfl_xor_sync(0xffffffffu, value.x, span), __shfl_xor_sync(0xffffffffu, value.y, span)));
  }
#if LANES > 32
  __shared__ float2 warps[8];
  __syncthreads();
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  value = warps[0];
  for (int warp = 1; warp < 8; warp++) value = Rule::combine(value, warps[warp]);
#endif
  return value;
}
