// Matrix product of small operands: y = activation(alpha op(a) op(b) + beta c) as in matmul-tiled, with every choice a uniform, so that one pipeline serves all
// small products. A workgroup computes 32 x 32 values, an invocation 2 x 2 of them.

struct Sizes {
  first: u32, groups: u32, m: u32, n: u32,
  k: u32, tilesM: u32, tilesN: u32, aBase: u32,
  aRow: u32, aColumn: u32, aBatch: u32, bBase: u32,
  bRow: u32, bColumn: u32, bBatch: u32, cBase: u32,
  cRow: u32, cColumn: u32, cBatch: u32, yBase: u32,
  yRow: u32, yBatch: u32, flags: u32, activation: u32,
  alpha: f32, beta: f32,
}

const ACCUMULATE = 1u;
const FINISH = 2u;
const TILE = 32u;
const DEPTH = 16u;
const HALF = 16u;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
#if ADDEND
@group(0) @binding(2) var<storage, read> c: array<f32>;
#end
@group(0) @binding(Y_BINDING) var<storage, read_write> y: array<f32>;
@group(0) @binding(Y_BINDING + 1) var<uniform> sizes: Sizes;

// [depth][row] and [depth][column].
var<workgroup> tileA: array<f32, 512>;
var<workgroup> tileB: array<f32, 512>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  if (group >= sizes.groups) { return; }
  let tiles = sizes.tilesM * sizes.tilesN;
  let batch = group / tiles;
  let m0 = (group % tiles) / sizes.tilesN * TILE;
  let n0 = (group % sizes.tilesN) * TILE;
  let aOffset = sizes.aBase + batch * sizes.aBatch;
  let bOffset = sizes.bBase + batch * sizes.bBatch;
  let tx = thread % HALF;
  let ty = thread / HALF;
  var sums = vec4<f32>();
  for (var k0 = 0u; k0 < sizes.k; k0 += DEPTH) {
    for (var i = thread; i < DEPTH * TILE; i += 256u) {
      let line = i % TILE;
      let depth = k0 + i / TILE;
      var x = 0.0;
      if (m0 + line < sizes.m && depth < sizes.k) { x = a[aOffset + (m0 + line) * sizes.aRow + depth * sizes.aColumn]; }
      tileA[i] = x;
      x = 0.0;
      if (n0 + line < sizes.n && depth < sizes.k) { x = b[bOffset + depth * sizes.bRow + (n0 + line) * sizes.bColumn]; }
      tileB[i] = x;
    }
    workgroupBarrier();
    for (var i = 0u; i < DEPTH; i++) {
      let rows = vec2<f32>(tileA[i * TILE + ty], tileA[i * TILE + ty + HALF]);
      let columns = vec2<f32>(tileB[i * TILE + tx], tileB[i * TILE + tx + HALF]);
      sums += rows.xxyy * columns.xyxy;
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i++) {
    let row = m0 + ty + (i / 2u) * HALF;
    let column = n0 + tx + (i % 2u) * HALF;
    if (row >= sizes.m || column >= sizes.n) { continue; }
    let at = sizes.yBase + batch * sizes.yBatch + row * sizes.yRow + column;
    var result = sizes.alpha * sums[i];
    if ((sizes.flags & ACCUMULATE) != 0u) { result += y[at]; }
    if ((sizes.flags & FINISH) != 0u) {
#if ADDEND
      result += sizes.beta * c[sizes.cBase + batch * sizes.cBatch + row * sizes.cRow + column * sizes.cColumn];
#end
      result = activate(sizes.activation, result);
    }
    y[at] = result;
  }
}
