/*
 * node tools/benchmarks/cpu-forms.mjs [name-part]: times forms of the same computation on the cpu backend, to choose how graphs are written.
 * Build first. Shapes are those of a 135M-parameter Llama block: hidden 576, MLP 1536, 9 query and 3 key-value heads of 64, windows of 512 tokens.
 */
import { availableParallelism } from 'node:os';
import { float32Tensor } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { cpuBackend } from '@pare/backend-cpu';

const [hidden, wide, heads, kvHeads, headSize, length] = [576, 1536, 9, 3, 64, 512];
const group = heads / kvHeads;
const rounds = 12;

/** @type {{ name: string, flops: number, inputs: Record<string, number[]>, build(builder: GraphBuilder, values: Record<string, any>): void }[]} */
const forms = [];
const form = (name, flops, inputs, build) => forms.push({ name, flops, inputs, build });
const fused = { domain: 'com.microsoft' };

for (const rows of [1024, 2048, 4096]) {
  const flops = 2 * rows * hidden * wide;
  const inputs = { x: [rows / length, length, hidden], w: [wide, hidden] };
  form(`linear ${rows}: Transpose, MatMul`, flops, inputs, (b, { x, w }) => b.output(b.matmul(x, b.transpose(w, [1, 0])), 'y'));
  form(`linear ${rows}: FusedMatMul`, flops, inputs, (b, { x, w }) => b.output(b.op('FusedMatMul', [x, w], { transB: 1 }, fused), 'y'));
  form(`linear ${rows}: Reshape, Gemm`, flops, inputs, (b, { x, w }) => b.output(b.gemm(b.reshape(x, [-1, hidden]), w, undefined, { transB: true }), 'y'));
}

for (const columns of [hidden, wide]) {
  const rows = 2048;
  const full = 2 * rows * columns * columns;
  const inputs = { x: [rows, columns] };
  form(`Gram ${columns}: Transpose, MatMul`, full, inputs, (b, { x }) => b.output(b.matmul(b.transpose(x, [1, 0]), x), 'y'));
  form(`Gram ${columns}: accumulated by Gemm`, full, { ...inputs, sum: [columns, columns] }, (b, { x, sum }) => b.output(b.gemm(x, x, sum, { transA: true }), 'y'));
  for (const parts of [2, 3, 4, 6]) {
    const size = columns / parts;
    const half = (full * (parts + 1)) / (2 * parts);
    const sums = Object.fromEntries(Array.from({ length: parts }, (_, part) => [`sum${part}`, [size, columns - part * size]]));
    form(`Gram ${columns}: upper half in ${parts}, accumulated`, half, { ...inputs, ...sums }, (b, values) => {
      for (let part = 0; part < parts; part++) {
        const left = b.slice(values.x, 1, part * size, (part + 1) * size);
        const right = part === 0 ? values.x : b.slice(values.x, 1, part * size);
        b.output(b.gemm(left, right, values[`sum${part}`], { transA: true }), `y${part}`);
      }
    });
  }
}

for (const windows of [1, 2, 4]) {
  const inputs = { q: [windows, kvHeads, group, length, headSize], k: [windows, kvHeads, 1, length, headSize], v: [windows, kvHeads, 1, length, headSize] };
  for (const blocks of [1, 2, 4, 8]) {
    const size = length / blocks;
    form(`attention ${windows}×: causal in ${blocks}`, 4 * windows * heads * length * length * headSize, inputs, (b, { q, k, v }) => {
      const scaled = b.mul(q, 1 / Math.sqrt(headSize));
      const keys = b.transpose(k, [0, 1, 2, 4, 3]);
      const outputs = Array.from({ length: blocks }, (_, block) => {
        const end = (block + 1) * size;
        const mask = new Float32Array(size * end);
        for (let row = 0; row < size; row++) mask.fill(-1e9, row * end + block * size + row + 1, (row + 1) * end);
        const scores = b.matmul(b.slice(scaled, 3, block * size, end), b.slice(keys, 4, 0, end));
        return b.matmul(b.softmax(b.add(scores, b.constant(float32Tensor([size, end], mask)))), b.slice(v, 3, 0, end));
      });
      b.output(blocks === 1 ? outputs[0] : b.concat(outputs, 3), 'y');
    });
  }
}

const part = process.argv[2] ?? '';
const backend = await cpuBackend.create({ threads: availableParallelism() }, { log: console });
for (const { name, flops, inputs, build } of forms.filter((entry) => entry.name.includes(part))) {
  const builder = new GraphBuilder(name);
  build(builder, Object.fromEntries(Object.entries(inputs).map(([key, shape]) => [key, builder.input(key, 'float32', shape)])));
  const executable = await backend.compile(builder.build());
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([key, shape]) => {
      const count = shape.reduce((product, size) => product * size, 1);
      return [key, backend.write(float32Tensor(shape, Float32Array.from({ length: count }, () => Math.random() - 0.5)), { transfer: true })];
    }),
  );
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    const outputs = await executable.run(tensors);
    best = Math.min(best, performance.now() - started);
    for (const tensor of Object.values(outputs)) tensor[Symbol.dispose]();
  }
  for (const tensor of Object.values(tensors)) tensor[Symbol.dispose]();
  await executable[Symbol.asyncDispose]();
  process.stdout.write(`${name.padEnd(48)} ${best.toFixed(2).padStart(8)} ms ${(flops / best / 1e6).toFixed(0).padStart(5)} GFLOP/s\n`);
}
await backend[Symbol.asyncDispose]();
