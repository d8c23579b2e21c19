// Integer grids of groups of values, as packages/weights computes them, in float64: an invocation takes a group of a row. Value j of row r in group g lies at
// base + r rowStride + (g groupSize + j) columnStride. grids [groups, rows] are (scale, divisor, rest of the divisor, zero); value = scale (code - zero).
//
// Symmetric: scale = 2 max|w| / (2^b - 1), zero = 2^(b-1). Asymmetric: scale = (high - low) / (2^b - 1), zero = round(-low / scale), with low <= 0 <= high. With
// `norm` > 0 the range shrinks by 1 - i/100, i = 0 ... 79, to the first least sum of |error|^norm.

struct Sizes {
  u32 rows, size;
  u64 base, rowStride, columnStride;
  u32 groupSize, firstGroup, count, bits, symmetric, scaleType;
  float norm;
};

struct Grid {
  float scale;
  float zero;
  double divisor;
};

// A positive number rounded to the storage type: 0 float32, 1 float16, 2 bfloat16; ties to even.
DEVICE float stored(double exact, u32 scaleType) {
  const float value = (float)exact;
  if (scaleType == 0) return value;
  // Through float32 a tie could arise that was none: the last bit is made odd where something was cut off.
  u32 bits = __float_as_uint(value);
  if ((double)value > exact) bits -= 1;
  if ((double)__uint_as_float(bits) != exact) bits |= 1;
  const float odd = __uint_as_float(bits);
  return scaleType == 1 ? f32FromHalf(halfFromF32(odd)) : f32FromBrain(brainFromF32(odd));
}

DEVICE Grid gridOf(double low, double high, double shrink, const Sizes* sizes) {
  const double largest = (double)((1u << sizes->bits) - 1);
  const float middle = (float)(1u << (sizes->bits - 1));
  low *= shrink;
  high *= shrink;
  const double exact = sizes->symmetric ? 2.0 * fmax(-low, high) / largest : (high - low) / largest;
  Grid grid;
  if (exact == 0.0) {
    grid.scale = 1.0f;
    grid.divisor = 1.0;
    grid.zero = sizes->symmetric ? middle : 0.0f;
    return grid;
  }
  grid.scale = stored(exact, sizes->scaleType);
  grid.divisor = sizes->scaleType == 0 ? exact : (double)grid.scale;
  if (grid.scale == 0.0f) {
    // The least positive number of the type.
    grid.scale = sizes->scaleType == 1 ? 5.9604644775390625e-8f : sizes->scaleType == 2 ? 9.183549615799121e-41f : 1.401298464324817e-45f;
    grid.divisor = (double)grid.scale;
  }
  grid.zero = sizes->symmetric ? middle : (float)fmin(rint(-low / grid.divisor), largest);
  return grid;
}

DEVICE float raised(float x, float norm) { return x == 0.0f ? 0.0f : exp2f(norm * log2f(x)); }

extern "C" __global__ void __launch_bounds__(64) run(const float* __restrict__ values, float4* __restrict__ grids, const Sizes* __restrict__ sizes) {
  const u64 index = (u64)blockIdx.x * 64 + threadIdx.x;
  const u32 rows = sizes->rows;
  if (index >= (u64)sizes->count * rows) return;
  const u32 row = (u32)(index % rows);
  const u32 group = sizes->firstGroup + (u32)(index / rows);
  const u32 length = min(sizes->groupSize, sizes->size - group * sizes->groupSize);
  const float* from = values + sizes->base + row * sizes->rowStride + index / rows * sizes->groupSize * sizes->columnStride;
  float low = 0.0f;
  float high = 0.0f;
  for (u32 j = 0; j < length; j++) {
    const float value = from[j * sizes->columnStride];
    low = fminf(low, value);
    high = fmaxf(high, value);
  }
  const Grid whole = gridOf(low, high, 1.0, sizes);
  Grid best = whole;
  if (sizes->norm > 0.0f && (low != 0.0f || high != 0.0f)) {
    const double largest = (double)((1u << sizes->bits) - 1);
    double least = 0.0;
    for (u32 step = 0; step < 80; step++) {
      const Grid grid = gridOf(low, high, 1.0 - (double)step / 100.0, sizes);
      const double inverse = 1.0 / grid.divisor;
      double error = 0.0;
      for (u32 j = 0; j < length; j++) {
        const double scaled = (double)from[j * sizes->columnStride] * inverse;
        const double code = fmin(fmax(rint(scaled), (double)-grid.zero), largest - grid.zero);
        error += raised((float)fabs(scaled - code), sizes->norm);
      }
      error *= raised(grid.scale / whole.scale, sizes->norm);
      if (step == 0 || error < least) {
        least = error;
        best = grid;
      }
    }
  }
  const float high32 = (float)best.divisor;
  grids[(u64)group * rows + row] = make_float4(best.scale, high32, (float)(best.divisor - (double)high32), best.zero);
}
