// What both attention kernels know of their rows: a row is a query of one of the `group` heads that share a key head. Row r is query r % queries of head
// keyHead group + r / queries.

struct Sizes {
  u32 keyHeads, group, queries, keys, headSize, valueSize, rows, tiles;
  u32 causal;
  float scale, cap;
  u32 qStrides[3], kStrides[3], vStrides[3], yStrides[3], maskStrides[4];
};

// The least finite number stands for -infinity: differences of it are never NaN.
#define LOWEST -3.4028234e38f

// e^x for x up to 0.
DEVICE float decay(float x) { return exp2f(x * 1.44269504f); }

// Where a row begins in an array with these strides along batch, head and query.
DEVICE u64 rowPlace(const Sizes* sizes, const u32* strides, u64 batch, u32 keyHead, u32 row) {
  const u64 head = keyHead * sizes->group + row / sizes->queries;
  return batch * strides[0] + head * strides[1] + (u64)(row % sizes->queries) * strides[2];
}

// Keys up to the last that one of `count` rows from `first` on sees: query i sees those up to i + past.
DEVICE u32 keysSeen(const Sizes* sizes, u32 first, u32 count, int past) {
  const u32 queries = sizes->queries;
  if (!sizes->causal) return sizes->keys;
  const u32 last = min(first + count, sizes->rows) - 1;
  const int latest = first / queries == last / queries ? (int)(last % queries) : (int)queries - 1;
  return (u32)max(0, min((int)sizes->keys, latest + past + 1));
}

// The score of a product, before the mask.
DEVICE float scoreOf(float product, float scale, float cap) {
  const float score = product * scale;
  return cap > 0.0f ? cap * tanhf(score / cap) : score;
}
