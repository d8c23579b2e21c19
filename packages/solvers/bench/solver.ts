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

const out = process.stdout;
const rounds = 5;
for (let round = 0; round < rounds; round++) {
  let factorSeconds = 0;
  let sweepSeconds = 0;
  let factorFlops = 0;
  let sweepFlops = 0;
  const report = (text: string): void => {
    if (round === rounds - 1) out.write(text);
  };
  for (const { name, size, rows, gram, weights } of problems) {
    let start = performance.now();
    const factor = await solver.factorize({ gram, size, damping: 0.01, dampingIncrement: 0.01, actOrder: true });
    const factored = (performance.now() - start) / 1000;
    factorSeconds += factored;
    factorFlops += (2 / 3) * size ** 3;
    start = performance.now();
    for (const [index, weight] of weights.entries()) await solver.sweep({ weight, rows: rows[index]!, factor, rule });
    const swept = (performance.now() - start) / 1000;
    sweepSeconds += swept;
    const flops = rows.reduce((sum, count) => sum + count * size ** 2, 0);
    sweepFlops += flops;
    report(
      `${name.padEnd(9)} factor ${(factored * 1000).toFixed(1).padStart(6)} ms ${(((2 / 3) * size ** 3) / factored / 1e9).toFixed(1).padStart(5)} GFLOP/s` +
        `   sweep ${(swept * 1000).toFixed(1).padStart(6)} ms ${(flops / swept / 1e9).toFixed(1).padStart(5)} GFLOP/s\n`,
    );
  }
  report(
    `block     factor ${(factorSeconds * 1000).toFixed(1).padStart(6)} ms ${(factorFlops / factorSeconds / 1e9).toFixed(1).padStart(5)} GFLOP/s` +
      `   sweep ${(sweepSeconds * 1000).toFixed(1).padStart(6)} ms ${(sweepFlops / sweepSeconds / 1e9).toFixed(1).padStart(5)} GFLOP/s` +
      `   together ${(factorSeconds + sweepSeconds).toFixed(3)} s\n`,
  );
}
await solver.dispose();
