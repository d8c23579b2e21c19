// Normalisation of the rows of x [rows, columns]: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, the variance being mean((x - mean)^2); the RMS kind
// (Zhang and Sennrich 2019, arXiv 1910.07467) takes 0 for the mean. `means` and `inverses` = 1 / sqrt(variance + epsilon) [rows] are kept where asked for.
//
// LANES invocations share a row, 256 / LANES rows share a block. The mean is taken first; second come the squares of differences from it and the differences
// themselves, whose mean is what rounding took from the first one: values that are large beside their spread keep their digits.

struct Sizes {
  u32 rows, columns, rms;
  float epsilon;
};

struct Sum {
  DEVICE float2 combine(float2 a, float2 b) { return make_float2(a.x + b.x, a.y + b.y); }
};

extern "C" __global__ void __launch_bounds__(256) run(
  const float* __restrict__ x,
#if SCALE
  const float* __restrict__ scale,
#endif
#if BIAS
  const float* __restrict__ bias,
#endif
  float* __restrict__ y,
#if MEAN
  float* __restrict__ means,
#endif
#if INVERSE
  float* __restrict__ inverses,
#endif
  const Sizes* __restrict__ sizes) {
  const u64 row = (u64)blockIdx.x * (256 / LANES) + threadIdx.x / LANES;
  const u32 lane = threadIdx.x % LANES;
  const u32 columns = row < sizes->rows ? sizes->columns : 0;
  const float* from = x + row * sizes->columns;
  const float count = (float)sizes->columns;
  float mean = 0.0f;
  if (!sizes->rms) {
    float sum = 0.0f;
    for (u32 j = lane; j < columns; j += LANES) sum += from[j];
    mean = acrossLanes<Sum>(make_float2(sum, 0.0f)).x / count;
  }
  float2 sums = make_float2(0.0f, 0.0f);
  for (u32 j = lane; j < columns; j += LANES) {
    const float difference = from[j] - mean;
    sums.x = fmaf(difference, difference, sums.x);
    sums.y += difference;
  }
  sums = acrossLanes<Sum>(sums);
  const float rest = sizes->rms ? 0.0f : sums.y / count;
  const float inverse = 1.0f / sqrtf(sums.x / count - rest * rest + sizes->epsilon);
  float* to = y + row * sizes->columns;
  for (u32 j = lane; j < columns; j += LANES) {
    float value = (from[j] - mean - rest) * inverse;
#if SCALE
    value *= scale[j];
#endif
#if BIAS
    value += bias[j];
#endif
    to[j] = value;
  }
  if (row < sizes->rows && lane == 0) {
#if MEAN
    means[row] = mean + rest;
#endif
#if INVERSE
    inverses[row] = inverse;
#endif
  }
}
