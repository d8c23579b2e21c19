// Attention without a stored score matrix: y = softmax(scale q k^T, capped, + mask) v for every batch and head.
//
// q [batch, heads, queries, headSize], k [batch, keyHeads, keys, headSize], v [batch, keyHeads, keys, valueSize], y [batch, heads, queries, valueSize], all by
// strides with features side by side; mask by strides along [batch, head, query, key]. `group` query heads share a key head; their queries are rows of one block.
//
// A workgroup takes 32 rows through blocks of 64 keys. An invocation computes 4 x 4 scores; the block's maxima and sums update those of the rows (online softmax,
// Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135), and the rows' outputs, 4 x 4 VALUE_QUADS an invocation, stay in registers. With
// SPLIT the keys are shared out among workgroups, which leave outputs, maxima and sums for attention-merge.

struct Sizes {
  first: u32, groups: u32, keyHeads: u32, blocks: u32,
  rows: u32, queries: u32, group: u32, keys: u32,
  headSize: u32, valueSize: u32, past: i32, causal: u32,
  scale: f32, cap: f32, minusInfinity: f32, splits: u32,
  qBase: u32, qBatch: u32, qHead: u32, qRow: u32,
  kBase: u32, kBatch: u32, kHead: u32, kRow: u32,
  vBase: u32, vBatch: u32, vHead: u32, vRow: u32,
  yBase: u32, yBatch: u32, yHead: u32, yRow: u32,
  maskBase: u32, maskBatch: u32, maskHead: u32, maskRow: u32,
  maskKey: u32, slice: u32, before: u32, batch: u32,
}

const ROWS = 32u;
const KEYS = 64u;
const DEPTH = 16u;
const LOWEST = -3.4028234e38;

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
#if V_VECTOR
@group(0) @binding(2) var<storage, read> v: array<vec4<f32>>;
#else
@group(0) @binding(2) var<storage, read> v: array<f32>;
#end
#if MASK
@group(0) @binding(3) var<storage, read> mask: array<f32>;
#end
@group(0) @binding(Y_BINDING) var<storage, read_write> y: array<f32>;
@group(0) @binding(Y_BINDING + 1) var<uniform> sizes: Sizes;

// [feature][row / 4], used again for partial maxima and sums [part][row / 4].
var<workgroup> tileQ: array<vec4<f32>, 128>;
// [feature][key / 4]
var<workgroup> tileK: array<vec4<f32>, 256>;
// Scores, later e^(score - maximum): [key][row / 4].
var<workgroup> tileS: array<vec4<f32>, 512>;
// Of each row: the maximum so far, e^(old maximum - new one), the sum so far.
var<workgroup> maxima: array<vec4<f32>, 8>;
var<workgroup> corrections: array<vec4<f32>, 8>;
var<workgroup> sums: array<vec4<f32>, 8>;

fn valueQ(batch: u32, head: u32, row: u32, feature: u32) -> f32 {
  if (row >= sizes.rows || feature >= sizes.headSize) { return 0.0; }
  return q[sizes.qBase + batch * sizes.qBatch + (head + row / sizes.queries) * sizes.qHead + (row % sizes.queries) * sizes.qRow + feature];
}

fn valueK(base: u32, key: u32, feature: u32) -> f32 {
  if (key >= sizes.keys || feature >= sizes.headSize) { return 0.0; }
  return k[base + key * sizes.kRow + feature];
}

fn quadV(base: u32, key: u32, column: u32) -> vec4<f32> {
  let at = base + key * sizes.vRow + column;
  var value = vec4<f32>();
#if V_VECTOR
  if (column < sizes.valueSize) { value = v[at >> 2u]; }
#else
  if (column < sizes.valueSize) { value.x = v[at]; }
  if (column + 1u < sizes.valueSize) { value.y = v[at + 1u]; }
  if (column + 2u < sizes.valueSize) { value.z = v[at + 2u]; }
  if (column + 3u < sizes.valueSize) { value.w = v[at + 3u]; }
#end
  return value;
}

// The logit of a product of query and key, -infinity where the query does not see the key.
fn logit(product: f32, batch: u32, head: u32, row: u32, key: u32, end: u32) -> f32 {
  let query = row % sizes.queries;
  if (key >= end || row >= sizes.rows || (sizes.causal != 0u && i32(key) > sizes.past + i32(query))) { return sizes.minusInfinity; }
  var score = product * sizes.scale;
  // tanh is 1 long before its argument overflows.
  if (sizes.cap > 0.0) { score = sizes.cap * tanh(clamp(score / sizes.cap, -20.0, 20.0)); }
#if MASK
  score += mask[sizes.maskBase + batch * sizes.maskBatch + (head + row / sizes.queries) * sizes.maskHead + query * sizes.maskRow + key * sizes.maskKey];
#end
  return score;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let number = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  if (number >= sizes.groups) { return; }
  // The last blocks of rows see most keys under a causal mask and go first.
  let block = sizes.blocks - 1u - number % sizes.blocks;
  let split = (number / sizes.blocks) % sizes.splits;
  let keyHead = (number / sizes.blocks / sizes.splits) % sizes.keyHeads;
  let batch = number / sizes.blocks / sizes.splits / sizes.keyHeads;
  let head = keyHead * sizes.group;
  let firstRow = block * ROWS;
  let lastRow = min(firstRow + ROWS, sizes.rows) - 1u;
  let kOffset = sizes.kBase + batch * sizes.kBatch + keyHead * sizes.kHead;
  let vOffset = sizes.vBase + batch * sizes.vBatch + keyHead * sizes.vHead;

  // No row of the block sees a key from `end` on.
  var end = min(sizes.keys, (split + 1u) * sizes.slice);
  if (sizes.causal != 0u) {
    let oneHead = firstRow / sizes.queries == lastRow / sizes.queries;
    let lastQuery = select(sizes.queries - 1u, lastRow % sizes.queries, oneHead);
    end = min(end, u32(max(sizes.past + i32(lastQuery) + 1, 0)));
  }

  let tx = thread % 16u;
  let ty = thread / 16u;
  let quad = thread % 8u;
  let part = thread / 8u;
  var outputs: array<vec4<f32>, 4 * VALUE_QUADS>;
  if (thread < 8u) {
    maxima[thread] = vec4<f32>(LOWEST);
    sums[thread] = vec4<f32>();
  }
  workgroupBarrier();

  for (var k0 = split * sizes.slice; k0 < end; k0 += KEYS) {
    var scores = array<vec4<f32>, 4>();
    for (var d0 = 0u; d0 < sizes.headSize; d0 += DEPTH) {
      let feature = d0 + tx;
      var line = vec4<f32>();
      for (var i = 0u; i < 4u; i++) { line[i] = valueQ(batch, head, firstRow + ty * 4u + i, feature); }
      tileQ[tx * 8u + ty] = line;
      for (var quads = ty; quads < 16u; quads += 8u) {
        for (var i = 0u; i < 4u; i++) { line[i] = valueK(kOffset, k0 + quads * 4u + i, feature); }
        tileK[tx * 16u + quads] = line;
      }
      workgroupBarrier();
      for (var d = 0u; d < DEPTH; d++) {
        let rows = tileQ[d * 8u + ty];
        let keys = tileK[d * 16u + tx];
        scores[0] += rows.x * keys;
        scores[1] += rows.y * keys;
        scores[2] += rows.z * keys;
        scores[3] += rows.w * keys;
      }
      workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
      var line = vec4<f32>(scores[0][i], scores[1][i], scores[2][i], scores[3][i]);
      for (var e = 0u; e < 4u; e++) { line[e] = logit(line[e], batch, head, firstRow + ty * 4u + e, k0 + tx * 4u + i, end); }
      tileS[(tx * 4u + i) * 8u + ty] = line;
    }
    workgroupBarrier();

    // Sixteen parts of four keys each, four rows at a time.
    let first = part * 4u;
    tileQ[thread] = max(max(tileS[first * 8u + quad], tileS[(first + 1u) * 8u + quad]), max(tileS[(first + 2u) * 8u + quad], tileS[(first + 3u) * 8u + quad]));
    workgroupBarrier();
    if (thread < 8u) {
      var maximum = maxima[thread];
      for (var i = 0u; i < 16u; i++) { maximum = max(maximum, tileQ[i * 8u + thread]); }
      corrections[thread] = exp(maxima[thread] - maximum);
      maxima[thread] = maximum;
    }
    workgroupBarrier();
    var sum = vec4<f32>();
    for (var i = 0u; i < 4u; i++) {
      let at = (first + i) * 8u + quad;
      let weight = exp(tileS[at] - maxima[quad]);
      tileS[at] = weight;
      sum += weight;
    }
    tileQ[thread] = sum;
    workgroupBarrier();
    if (thread < 8u) {
      var total = sums[thread] * corrections[thread];
      for (var i = 0u; i < 16u; i++) { total += tileQ[i * 8u + thread]; }
      sums[thread] = total;
    }
    let correction = corrections[ty];
#for e < 4
#for c < VALUE_QUADS
    outputs[$e * VALUE_QUADS + $c] *= correction[$e];
#end
#end
    let count = min(KEYS, end - k0);
    for (var i = 0u; i < count; i++) {
      let weights = tileS[i * 8u + ty];
#for c < VALUE_QUADS
      {
        let values = quadV(vOffset, k0 + i, (tx + $c * 16u) * 4u);
#for e < 4
        outputs[$e * VALUE_QUADS + $c] += weights[$e] * values;
#end
      }
#end
    }
    workgroupBarrier();
  }

#for e < 4
  {
    let row = firstRow + ty * 4u + $e;
    if (row < sizes.rows) {
#if SPLIT
      // [slice][batch, key head, row][outputs, maximum, sum]
      let line = ((((sizes.before + split) * sizes.batch + batch) * sizes.keyHeads + keyHead) * sizes.rows + row) * (sizes.valueSize + 2u);
      let factor = 1.0;
      if (tx == 0u) {
        y[line + sizes.valueSize] = maxima[ty][$e];
        y[line + sizes.valueSize + 1u] = sums[ty][$e];
      }
#else
      let line = sizes.yBase + batch * sizes.yBatch + (head + row / sizes.queries) * sizes.yHead + (row % sizes.queries) * sizes.yRow;
      let factor = 1.0 / sums[ty][$e];
#end
#for c < VALUE_QUADS
      for (var i = 0u; i < 4u; i++) {
        let column = (tx + $c * 16u) * 4u + i;
        if (column < sizes.valueSize) { y[line + column] = outputs[$e * VALUE_QUADS + $c][i] * factor; }
      }
#end
    }
  }
#end
}
