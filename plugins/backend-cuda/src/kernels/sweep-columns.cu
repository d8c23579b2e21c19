// A block of at most 64 columns of a sweep (GPTQ, Frantar et al. 2022, arXiv 2210.17323, algorithm 1): columns are settled on their grids one after another and the error
// of each, e = (w - scale (code - zero)) / U_ii, is taken out of the later ones of the block. Later blocks follow as a matrix product.
//
// An invocation takes a row through the block, so none waits for another. columns [size, rows] are compensated for all blocks before; upper [size, size] is U; errors
// [block, rows] are for the product; codes [size, rows]; losses [rows] sums of e^2 as pairs of float32.

struct Sizes {
  u32 rows, size, start, count, bits;
};

extern "C" __global__ void __launch_bounds__(64) run(
  const float* __restrict__ upper, const float* __restrict__ columns, const float4* __restrict__ grids, const u32* __restrict__ groupOf, float* __restrict__ errors,
  u32* __restrict__ codes, float2* __restrict__ losses, const Sizes* __restrict__ sizes) {
  // Errors of the block, [column][row]: each invocation reads its own only.
  __shared__ float settled[64][64];
  __shared__ float block[64][65];
  const u32 rows = sizes->rows;
  const u32 start = sizes->start;
  const u32 count = sizes->count;
  const u32 thread = threadIdx.x;
  for (u32 i = thread; i < count * 64; i += 64) {
    if (i % 64 < count) block[i / 64][i % 64] = upper[(u64)(start + i / 64) * sizes->size + start + i % 64];
  }
  __syncthreads();
  const u64 row = (u64)blockIdx.x * 64 + thread;
  if (row >= rows) return;
  const double largest = (double)((1u << sizes->bits) - 1);
  double loss = 0.0;
  if (start > 0) loss = (double)losses[row].x + (double)losses[row].y;
  for (u32 i = 0; i < count; i++) {
    const u64 position = start + i;
    float weight = columns[position * rows + row];
    for (u32 k = 0; k < i; k++) weight = fmaf(-settled[k][thread], block[k][i], weight);
    const float4 grid = grids[(u64)groupOf[position] * rows + row];
    const double divisor = (double)grid.y + (double)grid.z;
    const double code = fmin(fmax(rint((double)weight / divisor) + (double)grid.w, 0.0), largest);
    const float error = (weight - grid.x * (float)(code - (double)grid.w)) / block[i][i];
    settled[i][thread] = error;
    errors[(u64)i * rows + row] = error;
    codes[position * rows + row] = (u32)code;
    loss += (double)error * (double)error;
  }
  const float high = (float)loss;
  losses[row] = make_float2(high, (float)(loss - (double)high));
}
