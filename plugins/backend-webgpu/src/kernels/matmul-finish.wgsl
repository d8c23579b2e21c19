// Sum of partial products: y = activation(sum over splits of partial + beta c), partial [splits, batch, m, n] dense and scaled by alpha already, y [batch, m, n] by
// rows, c by strides. Without PARTIALS the products are empty (k = 0) and y = activation(beta c).

struct Sizes {
  first: u32, groups: u32, m: u32, n: u32,
  count: u32, splits: u32, cBase: u32, cRow: u32,
  cColumn: u32, cBatch: u32, yBase: u32, yRow: u32,
  yBatch: u32, flags: u32, activation: u32, beta: f32,
}

const ACCUMULATE = 1u;
const FINISH = 2u;

#if PARTIALS
@group(0) @binding(0) var<storage, read> partial: array<f32>;
#end
#if ADDEND
@group(0) @binding(C_BINDING) var<storage, read> c: array<f32>;
#end
@group(0) @binding(Y_BINDING) var<storage, read_write> y: array<f32>;
@group(0) @binding(Y_BINDING + 1) var<uniform> sizes: Sizes;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let group = sizes.first + (id.z * counts.y + id.y) * counts.x + id.x;
  let index = group * 256u + thread;
  if (group >= sizes.groups || index >= sizes.count) { return; }
  let column = index % sizes.n;
  let row = (index / sizes.n) % sizes.m;
  let batch = index / sizes.n / sizes.m;
  let at = sizes.yBase + batch * sizes.yBatch + row * sizes.yRow + column;
  var sum = 0.0;
#if PARTIALS
  for (var split = 0u; split < sizes.splits; split++) { sum += partial[split * sizes.count + index]; }
#end
  if ((sizes.flags & ACCUMULATE) != 0u) { sum += y[at]; }
  if ((sizes.flags & FINISH) != 0u) {
#if ADDEND
    sum += sizes.beta * c[sizes.cBase + batch * sizes.cBatch + row * sizes.cRow + column * sizes.cColumn];
#end
    sum = activate(sizes.activation, sum);
  }
  y[at] = sum;
}
