// What follows a matrix product that the library leaves to do: y = activation(y + beta c), with c broadcast by its strides. y is dense [batch, m, n]. FILL takes 0 for y:
// products over nothing.

struct Sizes {
  u32 m, n, batch, rowStride, columnStride, batchStride, activation;
  float beta;
};

// x Phi(x), with the complementary error function for negative x, where 1 + erf cancels.
DEVICE float gelu(float x) { return 0.5f * x * erfcf(-0.70710678f * x); }

DEVICE float activate(u32 kind, float x) {
  switch (kind) {
    case 1: return fmaxf(x, 0.0f);
    case 2: return gelu(x);
    case 3: return 0.5f * x * (1.0f + tanhf(0.79788456f * fmaf(0.044715f * x * x, x, x)));
    case 4: return x * sigmoid(x);
    default: return x;
  }
}

extern "C" __global__ void __launch_bounds__(256) run(
#if ADDEND
  const float* __restrict__ c,
#endif
  float* __restrict__ y, const Sizes* __restrict__ sizes) {
  const u64 index = (u64)blockIdx.x * 256 + threadIdx.x;
  const u32 m = sizes->m;
  const u32 n = sizes->n;
  if (index >= (u64)sizes->batch * m * n) return;
  float value = FILL ? 0.0f : y[index];
#if ADDEND
  const u64 row = index / n;
  value = fmaf(sizes->beta, c[row / m * sizes->batchStride + row % m * sizes->rowStride + index % n * sizes->columnStride], value);
#endif
  y[index] = activate(sizes->activation, value);
}
