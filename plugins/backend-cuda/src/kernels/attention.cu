// Attention without a stored score matrix: y = softmax(scale q k^T, capped, + mask) v, keys taken in blocks with a running maximum and sum for each row (Dao et al.
// 2022, arXiv 2205.14135, algorithm 1).
//
// Rows are those of attention-rows.cu. A block of 16 x 16 invocations takes 16 HEIGHT rows; an invocation holds HEIGHT neighbouring rows and every sixteenth key or feature
// (fours of features where there are enough). HEAD is the head's size rounded up to fours, FEATURES the number of features of the value that an invocation holds, KEYS
// the keys of a block.

#define ROWS (16 * HEIGHT)
#define VALUES (16 * FEATURES)
#define COLUMNS (KEYS / 16)
// Rows of shared memory begin 4 words apart from a whole number of banks, so that 16 bytes of neighbouring rows are read without conflict.
#define HEAD_ROW (HEAD + 4)
#define SHARE_ROW (KEYS + 4)

// The place of an invocation's feature `c` in the value.
#if FEATURES % 4 == 0
#define FEATURE(c) ((c) / 4 * 64 + tx * 4 + (c) % 4)
#else
#define FEATURE(c) (tx + 16 * (c))
#endif

extern "C" __global__ void __launch_bounds__(256) run(
  const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,
#if MASK
  const float* __restrict__ mask,
#endif
  float* __restrict__ y, const Sizes* __restrict__ sizes) {
  extern __shared__ float4 memory[];
  float* queryTile = (float*)memory;
  float* keyTile = queryTile + ROWS * HEAD_ROW;
  float* valueTile = keyTile + KEYS * HEAD_ROW;
  float* shares = valueTile + KEYS * VALUES;

  const u32 thread = threadIdx.x;
  const u32 tx = thread % 16;
  const u32 ty = thread / 16;
  const u32 tile = blockIdx.x % sizes->tiles;
  const u32 keyHead = blockIdx.x / sizes->tiles % sizes->keyHeads;
  const u32 batch = blockIdx.x / sizes->tiles / sizes->keyHeads;
  const u32 queries = sizes->queries;
  const u32 keys = sizes->keys;
  const u32 row0 = tile * ROWS;

  for (u32 i = thread; i < ROWS * HEAD; i += 256) {
    const u32 row = row0 + i / HEAD;
    const u32 feature = i % HEAD;
    float value = 0.0f;
    if (row < sizes->rows && feature < sizes->headSize) value = q[rowPlace(sizes, sizes->qStrides, batch, keyHead, row) + feature];
    queryTile[i / HEAD * HEAD_ROW + feature] = value;
  }

  float sums[HEIGHT], maxima[HEIGHT], outputs[HEIGHT][FEATURES];
#pragma unroll
  for (int r = 0; r < HEIGHT; r++) {
    sums[r] = 0.0f;
    maxima[r] = LOWEST;
#pragma unroll
    for (int c = 0; c < FEATURES; c++) outputs[r][c] = 0.0f;
  }

  // Query i sees keys up to i + past.
  const int past = (int)keys - (int)queries;
  const u32 end = keysSeen(sizes, row0, ROWS, past);
  const float* keyBase = k + (u64)batch * sizes->kStrides[0] + (u64)keyHead * sizes->kStrides[1];
  const float* valueBase = v + (u64)batch * sizes->vStrides[0] + (u64)keyHead * sizes->vStrides[1];

  for (u32 key0 = 0; key0 < end; key0 += KEYS) {
    __syncthreads();
    for (u32 i = thread; i < KEYS * HEAD; i += 256) {
      const u32 key = key0 + i / HEAD;
      const u32 feature = i % HEAD;
      keyTile[i / HEAD * HEAD_ROW + feature] = key < keys && feature < sizes->headSize ? keyBase[(u64)key * sizes->kStrides[2] + feature] : 0.0f;
    }
    for (u32 i = thread; i < KEYS * VALUES; i += 256) {
      const u32 key = key0 + i / VALUES;
      const u32 feature = i % VALUES;
      valueTile[i] = key < keys && feature < sizes->valueSize ? valueBase[(u64)key * sizes->vStrides[2] + feature] : 0.0f;
    }
    __syncthreads();

    float scores[HEIGHT][COLUMNS];
#pragma unroll
    for (int r = 0; r < HEIGHT; r++) {
#pragma unroll
      for (int c = 0; c < COLUMNS; c++) scores[r][c] = 0.0f;
    }
#pragma unroll 4
    for (int d = 0; d < HEAD; d += 4) {
      float4 rows[HEIGHT], columns[COLUMNS];
#pragma unroll
      for (int r = 0; r < HEIGHT; r++) rows[r] = *(const float4*)&queryTile[(ty * HEIGHT + r) * HEAD_ROW + d];
#pragma unroll
      for (int c = 0; c < COLUMNS; c++) columns[c] = *(const float4*)&keyTile[(tx + 16 * c) * HEAD_ROW + d];
#pragma unroll
      for (int r = 0; r < HEIGHT; r++) {
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
          scores[r][c] = fmaf(rows[r].x, columns[c].x, fmaf(rows[r].y, columns[c].y, fmaf(rows[r].z, columns[c].z, fmaf(rows[r].w, columns[c].w, scores[r][c]))));
        }
      }
    }

#pragma unroll
    for (int r = 0; r < HEIGHT; r++) {
      const u32 row = row0 + ty * HEIGHT + r;
      const u32 query = row % queries;
#if MASK
      const float* maskRow = mask + rowPlace(sizes, sizes->maskStrides, batch, keyHead, row);
#endif
      float largest = LOWEST;
#pragma unroll
      for (int c = 0; c < COLUMNS; c++) {
        const u32 key = key0 + tx + 16 * c;
        float score = scoreOf(scores[r][c], sizes->scale, sizes->cap);
#if MASK
        if (row < sizes->rows && key < keys) score += maskRow[(u64)key * sizes->maskStrides[3]];
#endif
        if (key >= keys || (sizes->causal && (int)key > (int)query + past)) score = -infinity();
        scores[r][c] = score;
        largest = fmaxf(largest, score);
      }
      // The 16 invocations of a row are neighbours in a warp.
      for (int span = 8; span > 0; span >>= 1) largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, span));
      largest = fmaxf(largest, maxima[r]);
      const float shrink = decay(maxima[r] - largest);
      float sum = 0.0f;
#pragma unroll
      for (int c = 0; c < COLUMNS; c++) {
        const float share = decay(scores[r][c] - largest);
        shares[(ty * HEIGHT + r) * SHARE_ROW + tx + 16 * c] = share;
        sum += share;
      }
      for (int span = 8; span > 0; span >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, span);
      sums[r] = fmaf(sums[r], shrink, sum);
      maxima[r] = largest;
#pragma unroll
      for (int c = 0; c < FEATURES; c++) outputs[r][c] *= shrink;
    }
    // Shares of a row are written and read by the same warp.
    __syncwarp();
#pragma unroll 2
    for (int j = 0; j < KEYS; j += 4) {
      float4 row[HEIGHT];
#pragma unroll
      for (int r = 0; r < HEIGHT; r++) row[r] = *(const float4*)&shares[(ty * HEIGHT + r) * SHARE_ROW + j];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        __align__(16) float values[FEATURES];
#if FEATURES % 4 == 0
#pragma unroll
        for (int c = 0; c < FEATURES; c += 4) *(float4*)&values[c] = *(const float4*)&valueTile[(j + i) * VALUES + FEATURE(c)];
#else
#pragma unroll
        for (int c = 0; c < FEATURES; c++) values[c] = valueTile[(j + i) * VALUES + FEATURE(c)];
#endif
#pragma unroll
        for (int r = 0; r < HEIGHT; r++) {
          const float share = i == 0 ? row[r].x : i == 1 ? row[r].y : i == 2 ? row[r].z : row[r].w;
#pragma unroll
          for (int c = 0; c < FEATURES; c++) outputs[r][c] = fmaf(share, values[c], outputs[r][c]);
        }
      }
    }
  }

#pragma unroll
  for (int r = 0; r < HEIGHT; r++) {
    const u32 row = row0 + ty * HEIGHT + r;
    if (row >= sizes->rows) continue;
    float* to = y + rowPlace(sizes, sizes->yStrides, batch, keyHead, row);
    const float inverse = sums[r] > 0.0f ? 1.0f / sums[r] : 0.0f;
#pragma unroll
    for (int c = 0; c < FEATURES; c++) {
      const u32 feature = FEATURE(c);
      if (feature < sizes->valueSize) to[feature] = outputs[r][c] * inverse;
    }
  }
}
