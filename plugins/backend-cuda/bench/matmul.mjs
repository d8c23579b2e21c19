/*
 * Matrix products of the CUDA backend on the GPU at hand, in each precision: node bench/matmul.mjs, after a build. With PARE_BENCH_PYTHON naming an interpreter that has torch,
 * the same products through torch (cuBLAS) beside them. Prints one JSON document; rates are TFLOP/s, times are of the GPU's work with everything resident.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { float32Tensor } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { cudaBackend } from '../dist/index.js';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
/** Rows, columns and depth of y = x·wᵀ: large squares, and the products of Llama-3-8B's and SmolLM2's layers over many tokens. */
const shapes = [
  [4096, 4096, 4096],
  [8192, 8192, 8192],
  [16384, 14336, 4096],
  [16384, 4096, 14336],
  [2048, 1536, 576],
  [32768, 1536, 576],
];

/** Numbers around 0 that repeat after a prime. */
function numbers(count) {
  const values = Float32Array.from({ length: Math.min(count, 65_521) }, (_, index) => ((index * 7919) % 1009) / 1009 - 0.5);
  const all = new Float32Array(count);
  for (let start = 0; start < count; start += values.length) all.set(values.subarray(0, Math.min(values.length, count - start)), start);
  return all;
}

async function rate(backend, [m, n, k]) {
  const builder = new GraphBuilder('product');
  const x = builder.input('x', 'float32', [m, k]);
  const w = builder.input('w', 'float32', [n, k]);
  builder.output(builder.matmul(x, builder.transpose(w, [1, 0])), 'y');
  const executable = await backend.compile(builder.build());
  const scope = backend.scope();
  const filled = (rows, columns) => scope.own(backend.write(float32Tensor([rows, columns], numbers(rows * columns))));
  const inputs = { x: filled(m, k), w: filled(n, k) };
  const rounds = Math.max(5, Math.min(200, Math.ceil(2e13 / (2 * m * n * k))));
  const once = async (count) => {
    const start = performance.now();
    for (let round = 0; round < count; round++) (await executable.run(inputs)).y[Symbol.dispose]();
    await backend.synchronize();
    return (performance.now() - start) / 1000 / count;
  };
  await once(3);
  const seconds = Math.min(await once(rounds), await once(rounds));
  scope[Symbol.dispose]();
  await executable[Symbol.asyncDispose]();
  return (2 * m * n * k) / seconds / 1e12;
}

const report = { device: undefined, products: shapes.map(([m, n, k]) => ({ m, n, k })) };
for (const precision of ['float32', 'tf32', 'bfloat16']) {
  const backend = await cudaBackend.create({ device: 0, devices: 1, precision }, { log: silent });
  report.device = backend.device.name;
  for (const [index, shape] of shapes.entries()) {
    report.products[index][precision] = await rate(backend, shape);
    process.stderr.write(`${precision} ${shape.join('x')} ${report.products[index][precision].toFixed(1)}\n`);
  }
  await backend[Symbol.asyncDispose]();
}
const python = process.env['PARE_BENCH_PYTHON'];
if (python !== undefined) {
  const { stdout, stderr, status } = spawnSync(python, [join(import.meta.dirname, 'matmul_torch.py'), JSON.stringify(shapes)], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  for (const [index, rates] of JSON.parse(stdout).entries()) report.products[index].torch = rates;
}
process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
