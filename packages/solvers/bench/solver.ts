/**
 * Times the solver work of one SmolLM2-135M decoder block: four Hessians and seven matrices, 4 bits, groups of 64, act-order, static groups.
 * Usage: npm run bench -w @pare/solvers [-- threads]
 */
import { createRandom } from '@pare/core';
import { createColumnSolver, quantizerRule } from '../src/index.js';

const threads = process.argv[2] === undefined ? undefined : Number(process.argv[2]);
const solver = createColumnSolver(threads === undefined ? {} : { threads });
const random = createRandom(1);
const rule = quantizerRule({ bits: 4, symmetric: true, groupSize: 64, staticGroups: true, clip: 'minmax', scaleType: 'bfloat16' });

/** Inputs of a layer, outputs of the matrices that share them. */
const layers = [
  { name: 'q, k, v', size: 576, rows: [576, 192, 192] },
  { name: 'o', size: 576, rows: [576] },
  { name: 'gate, up', size: 576, rows: [1536, 1536] },
  { name: 'down', size: 1536, rows: [576] },
];

/** A Gram matrix of correlated inputs, from a few hidden directions and independent noise. */
function gramMatrix(size: number): Float32Array {
  const gram = new Float32Array(size * size);
  const directions = 16;
  const hidden = Float64Array.from({ length: size * directions }, () => random() - 0.5);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = i === j ? 1 : 0;
      for (let d = 0; d < directions; d++) sum += hidden[i * directions + d]! * hidden[j * directions + d]!;
      gram[i * size + j] = sum;
      gram[j * size + i] = sum;
    }
  }
  return gram;
}

const problems = layers.map((layer) => ({
  ...layer,
  gram: gramMatrix(layer.size),
  weights: layer.rows.map((rows) => Float32Array.from({ length: rows * layer.size }, () => random() - 0.5)),
}));

const rounds = 12;
const best = problems.map(() => ({ factor: Infinity, sweep: Infinity }));
for (let round = 0; round < rounds; round++) {
  for (const [index, { size, rows, gram, weights }] of problems.entries()) {
    const start = performance.now();
    const factor = await solver.factorize({ gram, size, damping: 0.01, dampingIncrement: 0.01, actOrder: true });
    const factored = performance.now();
    for (const [matrix, weight] of weights.entries()) await solver.sweep({ weight, rows: rows[matrix]!, factor, rule });
    best[index]!.factor = Math.min(best[index]!.factor, factored - start);
    best[index]!.sweep = Math.min(best[index]!.sweep, performance.now() - factored);
  }
}
await solver.dispose();

const line = (name: string, factorFlops: number, factor: number, sweepFlops: number, sweep: number): void => {
  const part = (what: string, flops: number, milliseconds: number): string =>
    `${what} ${milliseconds.toFixed(1).padStart(6)} ms ${(flops / milliseconds / 1e6).toFixed(1).padStart(5)} GFLOP/s`;
  process.stdout.write(`${name.padEnd(9)} ${part('factor', factorFlops, factor)}   ${part('sweep', sweepFlops, sweep)}\n`);
};
const factorFlops = ({ size }: (typeof layers)[number]): number => (2 / 3) * size ** 3;
const sweepFlops = ({ size, rows }: (typeof layers)[number]): number => rows.reduce((sum, count) => sum + count * size ** 2, 0);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
process.stdout.write(`best of ${String(rounds)} rounds, threads: ${String(threads ?? 'default')}\n`);
for (const [index, layer] of layers.entries()) line(layer.name, factorFlops(layer), best[index]!.factor, sweepFlops(layer), best[index]!.sweep);
const factorTotal = sum(best.map(({ factor }) => factor));
const sweepTotal = sum(best.map(({ sweep }) => sweep));
line('block', sum(layers.map(factorFlops)), factorTotal, sum(layers.map(sweepFlops)), sweepTotal);
process.stdout.write(`one block ${((factorTotal + sweepTotal) / 1000).toFixed(3)} s\n`);
