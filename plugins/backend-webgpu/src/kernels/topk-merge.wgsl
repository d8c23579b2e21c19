// A pass of a bitonic sort (Batcher 1968) over rows of entries that are too long for workgroup memory: compares entries `distance` apart and swaps them where
// they are out of order; runs of `run` entries rise and fall by turns. With FILL it writes the entries first: (key, index) of x [rows, length], and what fills
// rows up to `size`, a power of two, goes last.

struct Sizes {
  first: u32, groups: u32, count: u32, length: u32,
  base: u32, row: u32, size: u32, distance: u32,
  run: u32, kind: u32, smallest: u32,
}

#if FILL
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> entries: array<vec2<u32>>;
@group(0) @binding(2) var<uniform> sizes: Sizes;
#else
@group(0) @binding(0) var<storage, read_write> entries: array<vec2<u32>>;
@group(0) @binding(1) var<uniform> sizes: Sizes;
#end

fn after(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.x > b.x || (a.x == b.x && a.y > b.y);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  let number = group * 256u + thread;
  if (group >= sizes.groups || number >= sizes.count) { return; }
#if FILL
  let row = number / sizes.size;
  let index = number % sizes.size;
  var entry = vec2<u32>(0xffffffffu, 0xffffffffu);
  if (index < sizes.length) { entry = vec2<u32>(keyOf(x[sizes.base + row * sizes.row + index], sizes.kind, sizes.smallest), index); }
  entries[number] = entry;
#else
  // Half a row's entries are the lower ones of a pair.
  let row = number / (sizes.size / 2u);
  let pair = number % (sizes.size / 2u);
  let within = (pair / sizes.distance) * sizes.distance * 2u + pair % sizes.distance;
  let low = row * sizes.size + within;
  let a = entries[low];
  let b = entries[low + sizes.distance];
  if (after(a, b) != ((within & sizes.run) != 0u)) {
    entries[low] = b;
    entries[low + sizes.distance] = a;
  }
#end
}
