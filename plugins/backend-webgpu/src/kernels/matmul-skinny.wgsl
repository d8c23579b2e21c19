// Matrix product with few rows (m <= ROWS <= 16, as decoding has): y = activation(alpha op(a) op(b) + beta c) as in matmul-tiled; b is read once, from memory.
//
// With TRANSPOSE_B (b stored [n, k]) LANES invocations walk along k and compute four columns together; otherwise an invocation computes four neighbouring
// columns over every SLICES-th row of b. Either way sums over k are completed in workgroup memory; `splits` > 1 leaves partial products for matmul-finish.
// With QUANTIZED b is integer codes of 4 or 8 bits, which matmul-codes turns into numbers.

struct Sizes {
  first: u32, groups: u32, m: u32, n: u32,
  k: u32, slice: u32, splits: u32, tiles: u32,
  aBase: u32, aRow: u32, aColumn: u32, aBatch: u32,
  bBase: u32, bRow: u32, bBatch: u32, cBase: u32,
  cRow: u32, cColumn: u32, cBatch: u32, yBase: u32,
  yRow: u32, yBatch: u32, ySplit: u32, flags: u32,
  alpha: f32, beta: f32,
#if QUANTIZED
  bits: u32, blockSize: u32,
  scaleBase: u32, scaleRow: u32, zeroBase: u32, zeroRow: u32, zeroBlock: u32,
#end
}

const ACCUMULATE = 1u;
const FINISH = 2u;
// Invocations that share four columns, and such sets in a workgroup.
const LANES = 32u;
const SETS = 4u;
const THREADS = 128u;

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
@group(0) @binding(Y_BINDING) var<storage, read_write> y: array<f32>;
@group(0) @binding(Y_BINDING + 1) var<uniform> sizes: Sizes;

// Sums of a row, four columns each, that wait to be added up.
var<workgroup> waiting: array<vec4<f32>, CHUNK * THREADS>;

fn valueA(base: u32, row: u32, position: u32) -> f32 {
#if A_VECTOR
  return 0.0;
#else
  return a[base + row * sizes.aRow + position * sizes.aColumn];
#end
}

// Four neighbours along k; positions from `end` on count as 0.
fn quadA(base: u32, row: u32, position: u32, end: u32) -> vec4<f32> {
#if A_VECTOR
  return a[(base + row * sizes.aRow + position) >> 2u];
#else
  var value = vec4<f32>();
  if (position < end) { value.x = valueA(base, row, position); }
  if (position + 1u < end) { value.y = valueA(base, row, position + 1u); }
  if (position + 2u < end) { value.z = valueA(base, row, position + 2u); }
  if (position + 3u < end) { value.w = valueA(base, row, position + 3u); }
  return value;
#end
}

// Four neighbours of a line of b, 0 from `end` on.
fn quadB(base: u32, line: u32, position: u32, end: u32) -> vec4<f32> {
#if QUANTIZED
  return decode(line, position);
#else
  let at = base + line * sizes.bRow + position;
#if B_VECTOR
  return b[at >> 2u];
#else
  var value = vec4<f32>();
  if (position < end) { value.x = b[at]; }
  if (position + 1u < end) { value.y = b[at + 1u]; }
  if (position + 2u < end) { value.z = b[at + 2u]; }
  if (position + 3u < end) { value.w = b[at + 3u]; }
  return value;
#end
#end
}

fn finish(value: vec4<f32>, row: u32, column: u32, yOffset: u32, cOffset: u32) {
  if (row >= sizes.m) { return; }
  for (var i = 0u; i < 4u; i++) {
    if (column + i >= sizes.n) { return; }
    var result = sizes.alpha * value[i];
    let at = yOffset + row * sizes.yRow + column + i;
    if ((sizes.flags & ACCUMULATE) != 0u) { result += y[at]; }
    if ((sizes.flags & FINISH) != 0u) {
#if ADDEND
      result += sizes.beta * c[cOffset + row * sizes.cRow + (column + i) * sizes.cColumn];
#end
#if ACTIVATED
      result = activate(ACTIVATION, result);
#end
    }
    y[at] = result;
  }
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  if (group >= sizes.groups) { return; }
  let tile = group % sizes.tiles;
  let split = (group / sizes.tiles) % sizes.splits;
  let batch = group / sizes.tiles / sizes.splits;
  let aOffset = sizes.aBase + batch * sizes.aBatch;
  let bOffset = sizes.bBase + batch * sizes.bBatch;
  let yOffset = sizes.yBase + batch * sizes.yBatch + split * sizes.ySplit;
  let cOffset = sizes.cBase + batch * sizes.cBatch;
  let begin = split * sizes.slice;
  let end = min(begin + sizes.slice, sizes.k);
  // Rows beyond the last repeat it and are not stored.
  let last = sizes.m - 1u;

#if TRANSPOSE_B
  let lane = thread % LANES;
  let column = (tile * SETS + thread / LANES) * 4u;
  let lastColumn = sizes.n - 1u;
  var sums: array<vec4<f32>, ROWS>;
  for (var position = begin + lane * 4u; position < end; position += LANES * 4u) {
    let b0 = quadB(bOffset, min(column, lastColumn), position, end);
    let b1 = quadB(bOffset, min(column + 1u, lastColumn), position, end);
    let b2 = quadB(bOffset, min(column + 2u, lastColumn), position, end);
    let b3 = quadB(bOffset, min(column + 3u, lastColumn), position, end);
#for r < ROWS
    {
      let x = quadA(aOffset, min($r, last), position, end);
      sums[$r] += vec4<f32>(dot(x, b0), dot(x, b1), dot(x, b2), dot(x, b3));
    }
#end
  }
#for g < GROUPS
  {
#for r < CHUNK
    waiting[$r * THREADS + thread] = sums[$g * CHUNK + $r];
#end
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
      if (lane < width) {
#for r < CHUNK
        waiting[$r * THREADS + thread] += waiting[$r * THREADS + thread + width];
#end
      }
      workgroupBarrier();
    }
    if (lane < CHUNK) { finish(waiting[lane * THREADS + thread - lane], $g * CHUNK + lane, column, yOffset, cOffset); }
    workgroupBarrier();
  }
#end
#else
  let part = thread / LANES;
  let column = (tile * LANES + thread % LANES) * 4u;
  var sums: array<vec4<f32>, ROWS>;
  if (column < sizes.n) {
    for (var position = begin + part; position < end; position += SETS) {
      let value = quadB(bOffset, position, column, sizes.n);
#for r < ROWS
      sums[$r] += valueA(aOffset, min($r, last), position) * value;
#end
    }
  }
#for g < GROUPS
  {
#for r < CHUNK
    waiting[$r * THREADS + thread] = sums[$g * CHUNK + $r];
#end
    workgroupBarrier();
    for (var row = part; row < CHUNK; row += SETS) {
      let at = row * THREADS + thread % LANES;
      finish(waiting[at] + waiting[at + LANES] + waiting[at + 2u * LANES] + waiting[at + 3u * LANES], $g * CHUNK + row, column, yOffset, cOffset);
    }
    workgroupBarrier();
  }
#end
#end
}
