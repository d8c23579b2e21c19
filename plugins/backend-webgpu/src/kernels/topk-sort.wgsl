// Sorts pieces of rows in workgroup memory and keeps the first `keep` entries of each: a round of the tournament that topK is, and all of it where a row fits.
//
// An entry is a pair (key, index): keys are unsigned integers in the wanted order, equal ones go by index. A workgroup takes `size` <= 2048 entries of a row,
// from x [rows, length] with FROM_X or from the round before, sorts them (bitonic, Batcher 1968) and writes entries [rows, pieces, keep].

struct Sizes {
  first: u32, groups: u32, pieces: u32, length: u32,
  base: u32, row: u32, size: u32, keep: u32,
  kind: u32, smallest: u32,
}

#if FROM_X
@group(0) @binding(0) var<storage, read> x: array<u32>;
#else
@group(0) @binding(0) var<storage, read> entries: array<vec2<u32>>;
#end
@group(0) @binding(1) var<storage, read_write> winners: array<vec2<u32>>;
@group(0) @binding(2) var<uniform> sizes: Sizes;

var<workgroup> sorted: array<vec2<u32>, 2048>;

// What fills a piece up goes last.
const NONE = vec2<u32>(0xffffffffu, 0xffffffffu);

fn after(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.x > b.x || (a.x == b.x && a.y > b.y);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  if (group >= sizes.groups) { return; }
  let row = group / sizes.pieces;
  let start = (group % sizes.pieces) * sizes.size;
  for (var i = thread; i < sizes.size; i += 256u) {
    var entry = NONE;
    let index = start + i;
    if (index < sizes.length) {
#if FROM_X
      entry = vec2<u32>(keyOf(x[sizes.base + row * sizes.row + index], sizes.kind, sizes.smallest), index);
#else
      entry = entries[sizes.base + row * sizes.row + index];
#end
    }
    sorted[i] = entry;
  }
  workgroupBarrier();
  for (var run = 2u; run <= sizes.size; run *= 2u) {
    for (var distance = run / 2u; distance > 0u; distance /= 2u) {
      for (var i = thread; i < sizes.size / 2u; i += 256u) {
        let low = (i / distance) * distance * 2u + i % distance;
        let a = sorted[low];
        let b = sorted[low + distance];
        let descending = (low & run) != 0u;
        if (after(a, b) != descending) {
          sorted[low] = b;
          sorted[low + distance] = a;
        }
      }
      workgroupBarrier();
    }
  }
  for (var i = thread; i < sizes.keep; i += 256u) { winners[group * sizes.keep + i] = sorted[i]; }
}
