// Attention without a stored score matrix on tensor cores: y = softmax(scale q k^T, capped, + mask) v as in attention.cu (Dao et al. 2022, arXiv 2205.14135; work split by rows
// of queries as in Dao 2023, arXiv 2307.08691), with q, k, v and the shares rounded to bfloat16 before they are multiplied. Scores, softmax and sums are float32.
//
// Rows are those of attention-rows.cu. A block of 8 warps takes 128 of them and 64 keys at a time; a warp has 16 rows to itself, so that nothing of a row is exchanged between
// warps. HEAD and VALUE are the sizes of keys and values, multiples of 16 up to 128. Fragments are those of mma.m16n8k16 (PTX ISA, matrix fragments): lane = 4 g + t holds
// elements of rows g and g + 8.

// Elements between a mask's neighbouring keys: known to be 1 where MASK is 2.
#if MASK == 2
#define MASK_STEP 1
#else
#define MASK_STEP sizes->maskStrides[3]
#endif

#define ROWS 128
#define KEYS 64
// Lines of shared memory begin 4 words apart from a whole number of banks: what a warp reads at once lies in different ones.
#define KEY_LINE (HEAD + 8)
#define VALUE_LINE (VALUE + 8)

// Two numbers as bfloat16, the first in the low half.
DEVICE u32 pair(float low, float high) {
  u32 bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

// c [16, 8] += a [16, 16] b [16, 8].
DEVICE void multiplyAdd(float* c, const u32* a, u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Copies a tile of 64 lines of `width` floats to shared memory as bfloat16, lines from `count` on as zeros.
template <int WIDTH, int LINE> DEVICE void load(u16* tile, const float* from, u64 stride, u32 count) {
#pragma unroll 4
  for (u32 i = threadIdx.x; i < KEYS * WIDTH / 4; i += 256) {
    const u32 line = i / (WIDTH / 4);
    const u32 column = i % (WIDTH / 4) * 4;
    float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (line < count) x = *(const float4*)(from + line * stride + column);
    *(uint2*)(tile + line * LINE + column) = make_uint2(pair(x.x, x.y), pair(x.z, x.w));
  }
}

extern "C" __global__ void __launch_bounds__(256) run(
  const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,
#if MASK
  const float* __restrict__ mask,
#endif
  float* __restrict__ y, const Sizes* __restrict__ sizes) {
  __shared__ __align__(16) u16 keyTile[KEYS * KEY_LINE];
  __shared__ __align__(16) u16 valueTile[KEYS * VALUE_LINE];

  const u32 lane = threadIdx.x % 32;
  const u32 g = lane / 4;
  const u32 t = lane % 4;
  const u32 tile = blockIdx.x % sizes->tiles;
  const u32 keyHead = blockIdx.x / sizes->tiles % sizes->keyHeads;
  const u64 batch = blockIdx.x / sizes->tiles / sizes->keyHeads;
  const u32 queries = sizes->queries;
  const u32 keys = sizes->keys;
  const u32 rows = sizes->rows;
  const u32 row0 = tile * ROWS + threadIdx.x / 32 * 16;
  const float scale = sizes->scale;
  const float cap = sizes->cap;
  const bool causal = sizes->causal != 0;

  u32 ask[HEAD / 16][4];
#pragma unroll
  for (int side = 0; side < 2; side++) {
    const u32 row = row0 + g + side * 8;
    const float* from = q + rowPlace(sizes, sizes->qStrides, batch, keyHead, row) + 2 * t;
#pragma unroll
    for (int d = 0; d < HEAD / 16; d++) {
      float2 low = make_float2(0.0f, 0.0f);
      float2 high = make_float2(0.0f, 0.0f);
      if (row < rows) {
        low = *(const float2*)(from + d * 16);
        high = *(const float2*)(from + d * 16 + 8);
      }
      ask[d][side] = pair(low.x, low.y);
      ask[d][side + 2] = pair(high.x, high.y);
    }
  }

  float outputs[VALUE / 8][4];
  float sums[2] = {0.0f, 0.0f};
  float maxima[2] = {LOWEST, LOWEST};
#pragma unroll
  for (int n = 0; n < VALUE / 8; n++) {
#pragma unroll
    for (int c = 0; c < 4; c++) outputs[n][c] = 0.0f;
  }

  // Query i sees keys up to i + past.
  const int past = (int)keys - (int)queries;
  const u32 end = keysSeen(sizes, tile * ROWS, ROWS, past);
  const float* keyBase = k + batch * sizes->kStrides[0] + (u64)keyHead * sizes->kStrides[1];
  const float* valueBase = v + batch * sizes->vStrides[0] + (u64)keyHead * sizes->vStrides[1];

  for (u32 key0 = 0; key0 < end; key0 += KEYS) {
    __syncthreads();
    load<HEAD, KEY_LINE>(keyTile, keyBase + (u64)key0 * sizes->kStrides[2], sizes->kStrides[2], keys - key0);
    load<VALUE, VALUE_LINE>(valueTile, valueBase + (u64)key0 * sizes->vStrides[2], sizes->vStrides[2], keys - key0);
    __syncthreads();

    float scores[KEYS / 8][4];
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
      for (int c = 0; c < 4; c++) scores[n][c] = 0.0f;
#pragma unroll
      for (int d = 0; d < HEAD / 16; d++) {
        const u32* from = (const u32*)(keyTile + (n * 8 + g) * KEY_LINE + d * 16 + 2 * t);
        multiplyAdd(scores[n], ask[d], from[0], from[4]);
      }
    }

#pragma unroll
    for (int side = 0; side < 2; side++) {
      const u32 row = row0 + g + side * 8;
      const u32 query = row % queries;
#if MASK
      const float* maskRow = mask + rowPlace(sizes, sizes->maskStrides, batch, keyHead, row) + (u64)(key0 + 2 * t) * MASK_STEP;
#endif
      float largest = LOWEST;
#pragma unroll
      for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (int c = 0; c < 2; c++) {
          const u32 key = key0 + n * 8 + 2 * t + c;
          float score = scoreOf(scores[n][side * 2 + c], scale, cap);
#if MASK
          if (row < rows && key < keys) score += maskRow[(n * 8 + c) * MASK_STEP];
#endif
          if (key >= keys || (causal && (int)key > (int)query + past)) score = -infinity();
          scores[n][side * 2 + c] = score;
          largest = fmaxf(largest, score);
        }
      }
      // The four lanes of a row are neighbours.
      largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 2));
      largest = fmaxf(largest, maxima[side]);
      const float shrink = decay(maxima[side] - largest);
      maxima[side] = largest;
      float sum = 0.0f;
#pragma unroll
      for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (int c = 0; c < 2; c++) {
          const float share = decay(scores[n][side * 2 + c] - largest);
          scores[n][side * 2 + c] = share;
          sum += share;
        }
      }
      sums[side] = fmaf(sums[side], shrink, sum);
#pragma unroll
      for (int n = 0; n < VALUE / 8; n++) {
        outputs[n][side * 2] *= shrink;
        outputs[n][side * 2 + 1] *= shrink;
      }
    }

#pragma unroll
    for (int j = 0; j < KEYS / 16; j++) {
      const u32 share[4] = {
        pair(scores[2 * j][0], scores[2 * j][1]), pair(scores[2 * j][2], scores[2 * j][3]),
        pair(scores[2 * j + 1][0], scores[2 * j + 1][1]), pair(scores[2 * j + 1][2], scores[2 * j + 1][3])};
#pragma unroll
      for (int n = 0; n < VALUE / 16; n++) {
        // Four transposed matrices of 8 x 8: keys 0 and 8 of features 0, keys 0 and 8 of features 8.
        const u32 from = (u32)__cvta_generic_to_shared(valueTile + (j * 16 + lane % 16) * VALUE_LINE + n * 16 + lane / 16 * 8);
        u32 b[4];
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(from) : "memory");
        multiplyAdd(outputs[2 * n], share, b[0], b[1]);
        multiplyAdd(outputs[2 * n + 1], share, b[2], b[3]);
      }
    }
  }

#pragma unroll
  for (int side = 0; side < 2; side++) {
    const u32 row = row0 + g + side * 8;
    sums[side] += __shfl_xor_sync(0xffffffffu, sums[side], 1);
    sums[side] += __shfl_xor_sync(0xffffffffu, sums[side], 2);
    if (row >= rows) continue;
    float* to = y + rowPlace(sizes, sizes->yStrides, batch, keyHead, row) + 2 * t;
    const float inverse = sums[side] > 0.0f ? 1.0f / sums[side] : 0.0f;
#pragma unroll
    for (int n = 0; n < VALUE / 8; n++) {
      *(float2*)(to + n * 8) = make_float2(outputs[n][side * 2] * inverse, outputs[n][side * 2 + 1] * inverse);
    }
  }
}
