// Matrix product in tiles: y = activation(alpha op(a) op(b) + beta c), a [batch, m, k] (stored [k, m] with TRANSPOSE_A), b [batch, k, n] (stored [n, k] with
// TRANSPOSE_B), y [batch, m, n] dense; c by strides.
//
// A workgroup computes TILE_M x TILE_N values, an invocation ROWS x COLUMNS of them in registers: quads of rows TILE_M / ROWS quads apart, quads of columns
// likewise, so that neighbours read neighbouring vectors of workgroup memory. The operands' tiles of TILE_K lie there as [k][rows / 4] and [k][columns / 4];
// the next ones travel through registers while the present ones are multiplied. With `splits` > 1 a workgroup takes a slice of k and y is a stack of partial
// products, which matmul-finish adds up. With QUANTIZED b is integer codes of 4 or 8 bits that matmul-codes turns into numbers on their way to workgroup memory.

struct Sizes {
  first: u32, groups: u32, m: u32, n: u32,
  k: u32, slice: u32, splits: u32, tilesM: u32,
  tilesN: u32, aBase: u32, aRow: u32, aBatch: u32,
  bBase: u32, bRow: u32, bBatch: u32, cBase: u32,
  cRow: u32, cColumn: u32, cBatch: u32, yBase: u32,
  yRow: u32, yBatch: u32, ySplit: u32, flags: u32,
  alpha: f32, beta: f32,
#if QUANTIZED
  bits: u32, blockSize: u32,
  scaleBase: u32, scaleRow: u32, zeroBase: u32, zeroRow: u32, zeroBlock: u32,
#end
}

// y holds an earlier part of the sum over k.
const ACCUMULATE = 1u;
// The sum over k is complete: addend and activation follow.
const FINISH = 2u;

const A_QUADS = TILE_M / 4;
const B_QUADS = TILE_N / 4;
const THREADS_M = TILE_M / ROWS;
const THREADS_N = TILE_N / COLUMNS;
const THREADS = THREADS_M * THREADS_N;
const A_BLOCKS = A_QUADS * TILE_K / 4;
const B_BLOCKS = B_QUADS * TILE_K / 4;
const K_QUADS = TILE_K / 4;
// Rows of tiles that are walked together, so that their operands stay in the cache.
const BAND = 8u;

#if A_VECTOR
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
#else
@group(0) @binding(0) var<storage, read> a: array<f32>;
#end
#if QUANTIZED
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
#if ZEROS
@group(0) @binding(3) var<storage, read> zeros: array<u32>;
#end
#else
#if B_VECTOR
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
#else
@group(0) @binding(1) var<storage, read> b: array<f32>;
#end
#end
#if ADDEND
@group(0) @binding(Y_BINDING - 1) var<storage, read> c: array<f32>;
#end
#if Y_VECTOR
@group(0) @binding(Y_BINDING) var<storage, read_write> y: array<vec4<f32>>;
#else
@group(0) @binding(Y_BINDING) var<storage, read_write> y: array<f32>;
#end
@group(0) @binding(Y_BINDING + 1) var<uniform> sizes: Sizes;

var<workgroup> tileA: array<vec4<f32>, BUFFERS * TILE_K * A_QUADS>;
var<workgroup> tileB: array<vec4<f32>, BUFFERS * TILE_K * B_QUADS>;

// Four neighbours of a line of a, 0 beyond the ends.
fn fetchA(base: u32, line: u32, lines: u32, position: u32, end: u32) -> vec4<f32> {
  var value = vec4<f32>();
  let at = base + line * sizes.aRow + position;
#if A_VECTOR
  if (line < lines && position < end) { value = a[at >> 2u]; }
#else
  if (line < lines) {
    if (position < end) { value.x = a[at]; }
    if (position + 1u < end) { value.y = a[at + 1u]; }
    if (position + 2u < end) { value.z = a[at + 2u]; }
    if (position + 3u < end) { value.w = a[at + 3u]; }
  }
#end
  return value;
}

fn fetchB(base: u32, line: u32, lines: u32, position: u32, end: u32) -> vec4<f32> {
  var value = vec4<f32>();
#if QUANTIZED
  if (line < lines && position < end) { value = decode(line, position); }
#else
  let at = base + line * sizes.bRow + position;
#if B_VECTOR
  if (line < lines && position < end) { value = b[at >> 2u]; }
#else
  if (line < lines) {
    if (position < end) { value.x = b[at]; }
    if (position + 1u < end) { value.y = b[at + 1u]; }
    if (position + 2u < end) { value.z = b[at + 2u]; }
    if (position + 3u < end) { value.w = b[at + 3u]; }
  }
#end
#end
  return value;
}

fn finish(value: vec4<f32>, row: u32, column: u32, yOffset: u32, cOffset: u32) {
  if (row >= sizes.m || column >= sizes.n) { return; }
  var result = sizes.alpha * value;
  let at = yOffset + row * sizes.yRow + column;
  let count = min(sizes.n - column, 4u);
#if Y_VECTOR
  if ((sizes.flags & ACCUMULATE) != 0u) { result += y[at >> 2u]; }
#else
  if ((sizes.flags & ACCUMULATE) != 0u) {
    for (var i = 0u; i < count; i++) { result[i] += y[at + i]; }
  }
#end
  if ((sizes.flags & FINISH) != 0u) {
#if ADDEND
    let start = cOffset + row * sizes.cRow + column * sizes.cColumn;
    for (var i = 0u; i < count; i++) { result[i] += sizes.beta * c[start + i * sizes.cColumn]; }
#end
#if ACTIVATED
    for (var i = 0u; i < count; i++) { result[i] = activate(ACTIVATION, result[i]); }
#end
  }
#if Y_VECTOR
  y[at >> 2u] = result;
#else
  for (var i = 0u; i < count; i++) { y[at + i] = result[i]; }
#end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  if (group >= sizes.groups) { return; }
  let tiles = sizes.tilesM * sizes.tilesN;
  let tile = group % tiles;
  let split = (group / tiles) % sizes.splits;
  let batch = group / tiles / sizes.splits;
  let band = tile / (BAND * sizes.tilesN);
  let height = min(BAND, sizes.tilesM - band * BAND);
  let within = tile - band * BAND * sizes.tilesN;
  let m0 = (band * BAND + within % height) * TILE_M;
  let n0 = (within / height) * TILE_N;
  let aOffset = sizes.aBase + batch * sizes.aBatch;
  let bOffset = sizes.bBase + batch * sizes.bBatch;
  let begin = split * sizes.slice;
  let end = min(begin + sizes.slice, sizes.k);
  let steps = (max(end, begin) - begin + TILE_K - 1u) / TILE_K;

  // Eight by four invocations are neighbours in a subgroup, so that it reads little of both tiles.
  let lane = thread % 32u;
  let subgroup = thread / 32u;
  let tx = (subgroup % (THREADS_N / 8)) * 8u + lane % 8u;
  let ty = (subgroup / (THREADS_N / 8)) * 4u + lane / 8u;

  var sums: array<vec4<f32>, ROWS * COLUMNS / 4>;
  var next: array<vec4<f32>, BLOCKS * 4>;
  for (var step = 0u; step <= steps; step++) {
    if (step < steps) {
      let k0 = begin + step * TILE_K;
#for p < BLOCKS
      {
        let block = thread + $p * THREADS;
        if (block < A_BLOCKS) {
#if TRANSPOSE_A
          let line = k0 + (block / A_QUADS) * 4u;
          let position = m0 + (block % A_QUADS) * 4u;
          next[$p * 4] = fetchA(aOffset, line, end, position, sizes.m);
          next[$p * 4 + 1] = fetchA(aOffset, line + 1u, end, position, sizes.m);
          next[$p * 4 + 2] = fetchA(aOffset, line + 2u, end, position, sizes.m);
          next[$p * 4 + 3] = fetchA(aOffset, line + 3u, end, position, sizes.m);
#else
          let line = m0 + (block / K_QUADS) * 4u;
          let position = k0 + (block % K_QUADS) * 4u;
          next[$p * 4] = fetchA(aOffset, line, sizes.m, position, end);
          next[$p * 4 + 1] = fetchA(aOffset, line + 1u, sizes.m, position, end);
          next[$p * 4 + 2] = fetchA(aOffset, line + 2u, sizes.m, position, end);
          next[$p * 4 + 3] = fetchA(aOffset, line + 3u, sizes.m, position, end);
#end
        } else if (block < A_BLOCKS + B_BLOCKS) {
          let other = block - A_BLOCKS;
#if TRANSPOSE_B
          let line = n0 + (other / K_QUADS) * 4u;
          let position = k0 + (other % K_QUADS) * 4u;
          next[$p * 4] = fetchB(bOffset, line, sizes.n, position, end);
          next[$p * 4 + 1] = fetchB(bOffset, line + 1u, sizes.n, position, end);
          next[$p * 4 + 2] = fetchB(bOffset, line + 2u, sizes.n, position, end);
          next[$p * 4 + 3] = fetchB(bOffset, line + 3u, sizes.n, position, end);
#else
          let line = k0 + (other / B_QUADS) * 4u;
          let position = n0 + (other % B_QUADS) * 4u;
          next[$p * 4] = fetchB(bOffset, line, end, position, sizes.n);
          next[$p * 4 + 1] = fetchB(bOffset, line + 1u, end, position, sizes.n);
          next[$p * 4 + 2] = fetchB(bOffset, line + 2u, end, position, sizes.n);
          next[$p * 4 + 3] = fetchB(bOffset, line + 3u, end, position, sizes.n);
#end
        }
      }
#end
    }

    if (step > 0u) {
      let buffer = ((step - 1u) % BUFFERS) * TILE_K;
      for (var i = 0u; i < TILE_K; i++) {
        let rowA = (buffer + i) * A_QUADS + ty;
        let rowB = (buffer + i) * B_QUADS + tx;
#for r < ROW_QUADS
        let a$r = tileA[rowA + $r * THREADS_M];
#end
#for q < COLUMN_QUADS
        let b$q = tileB[rowB + $q * THREADS_N];
#end
#for r < ROW_QUADS
#for e < 4
#for q < COLUMN_QUADS
        sums[($r * 4 + $e) * COLUMN_QUADS + $q] += a$r[$e] * b$q;
#end
#end
#end
      }
    }

#if SINGLE
    workgroupBarrier();
#end
    if (step < steps) {
      let buffer = (step % BUFFERS) * TILE_K;
#for p < BLOCKS
      {
        let block = thread + $p * THREADS;
        let x0 = next[$p * 4];
        let x1 = next[$p * 4 + 1];
        let x2 = next[$p * 4 + 2];
        let x3 = next[$p * 4 + 3];
        if (block < A_BLOCKS) {
#if TRANSPOSE_A
          let at = (buffer + (block / A_QUADS) * 4u) * A_QUADS + block % A_QUADS;
          tileA[at] = x0;
          tileA[at + A_QUADS] = x1;
          tileA[at + 2 * A_QUADS] = x2;
          tileA[at + 3 * A_QUADS] = x3;
#else
          let at = (buffer + (block % K_QUADS) * 4u) * A_QUADS + block / K_QUADS;
          tileA[at] = vec4<f32>(x0.x, x1.x, x2.x, x3.x);
          tileA[at + A_QUADS] = vec4<f32>(x0.y, x1.y, x2.y, x3.y);
          tileA[at + 2 * A_QUADS] = vec4<f32>(x0.z, x1.z, x2.z, x3.z);
          tileA[at + 3 * A_QUADS] = vec4<f32>(x0.w, x1.w, x2.w, x3.w);
#end
        } else if (block < A_BLOCKS + B_BLOCKS) {
          let other = block - A_BLOCKS;
#if TRANSPOSE_B
          let at = (buffer + (other % K_QUADS) * 4u) * B_QUADS + other / K_QUADS;
          tileB[at] = vec4<f32>(x0.x, x1.x, x2.x, x3.x);
          tileB[at + B_QUADS] = vec4<f32>(x0.y, x1.y, x2.y, x3.y);
          tileB[at + 2 * B_QUADS] = vec4<f32>(x0.z, x1.z, x2.z, x3.z);
          tileB[at + 3 * B_QUADS] = vec4<f32>(x0.w, x1.w, x2.w, x3.w);
#else
          let at = (buffer + (other / B_QUADS) * 4u) * B_QUADS + other % B_QUADS;
          tileB[at] = x0;
          tileB[at + B_QUADS] = x1;
          tileB[at + 2 * B_QUADS] = x2;
          tileB[at + 3 * B_QUADS] = x3;
#end
        }
      }
#end
    }
    workgroupBarrier();
  }

  let yOffset = sizes.yBase + batch * sizes.yBatch + split * sizes.ySplit;
  let cOffset = sizes.cBase + batch * sizes.cBatch;
#for r < ROW_QUADS
#for e < 4
#for q < COLUMN_QUADS
  finish(sums[($r * 4 + $e) * COLUMN_QUADS + $q], m0 + ($r * THREADS_M + ty) * 4u + $e, n0 + ($q * THREADS_N + tx) * 4u, yOffset, cOffset);
#end
#end
#end
}
