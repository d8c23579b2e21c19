// float32 to bfloat16, ties to even: operands of a product on tensor cores. Four at a time; the arrays have room for whole fours.

struct Sizes {
  u32 fours;
};

extern "C" __global__ void __launch_bounds__(256) run(const float4* __restrict__ x, ushort4* __restrict__ y, const Sizes* __restrict__ sizes) {
  for (u64 index = (u64)blockIdx.x * 256 + threadIdx.x; index < sizes->fours; index += (u64)gridDim.x * 256) {
    const float4 value = x[index];
    y[index] = make_ushort4(brainFromF32(value.x), brainFromF32(value.y), brainFromF32(value.z), brainFromF32(value.w));
  }
}
