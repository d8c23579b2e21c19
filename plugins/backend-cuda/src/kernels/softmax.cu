// Softmax of the rows of x [rows, columns]: y_j = e^(x_j - m) / sum_i e^(x_i - m) with m = max x, or x_j - m - log(sum) where `logarithm` is set.
//
// LANES invocations share a row, 256 / LANES rows share a block. A lane keeps its maximum and its sum of e^(x - maximum) together, so that x is read twice only
// (Milakov and Gimelshein 2018, arXiv 1805.02867).

struct Sizes {
  u32 rows, columns, logarithm;
};

// The least finite number stands for -infinity: differences of it are never NaN.
#define LOWEST -3.4028234e38f

struct Merge {
  DEVICE float2 combine(float2 a, float2 b) {
    const float maximum = fmaxf(a.x, b.x);
    return make_float2(maximum, fmaf(a.y, expf(a.x - maximum), b.y * expf(b.x - maximum)));
  }
};

extern "C" __global__ void __launch_bounds__(256) run(const float* __restrict__ x, float* __restrict__ y, const Sizes* __restrict__ sizes) {
  const u64 row = (u64)blockIdx.x * (256 / LANES) + threadIdx.x / LANES;
  const u32 lane = threadIdx.x % LANES;
  const u32 columns = row < sizes->rows ? sizes->columns : 0;
  const float* from = x + row * sizes->columns;
  float2 part = make_float2(LOWEST, 0.0f);
  for (u32 j = lane; j < columns; j += LANES) {
    const float value = from[j];
    if (value > part.x) part = make_float2(value, fmaf(part.y, expf(part.x - value), 1.0f));
    else part.y += expf(value - part.x);
  }
  const float2 whole = acrossLanes<Merge>(part);
  float* to = y + row * sizes->columns;
  const float logarithm = logf(whole.y);
  const float inverse = 1.0f / whole.y;
  for (u32 j = lane; j < columns; j += LANES) {
    const float shifted = from[j] - whole.x;
    to[j] = sizes->logarithm ? shifted - logarithm : expf(shifted) * inverse;
  }
}
