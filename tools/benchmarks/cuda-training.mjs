/*
 * Training on the GPU at hand: a step over every parameter of a model of SmolLM2-135M's shape with random weights, 8 windows of 512 tokens, in each precision of the CUDA backend; with PARE_BENCH_PYTHON the same in
 * torch, eager and compiled, in the same run. Prints one JSON document.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cudaBackend } from '@pare/backend-cuda';
import { writeRandomModel } from './gpu-lib.mjs';
import { runPeer, silent, withResource } from './lib.mjs';
import { trainingSteps } from './training-lib.mjs';

const shape = { windows: 8, length: 512, steps: 8, warmup: 3 };
const report = { ...(await cudaBackend.score()), ...shape };
const folder = mkdtempSync(join(tmpdir(), 'pare-bench-'));
try {
  writeRandomModel(folder);
  for (const precision of ['float32', 'tf32', 'bfloat16']) {
    for (const recompute of [false, true]) {
      const name = `${precision}${recompute ? ', blocks computed again' : ''}`;
      report[name] = await withResource(await cudaBackend.create({ device: 0, devices: 1, precision }, { log: silent }), (backend) => trainingSteps(backend, folder, { ...shape, recompute, microBatch: shape.windows }));
      process.stderr.write(`${name} ${JSON.stringify(report[name])}\n`);
    }
  }
  report.torch = (await runPeer('torch_training_gpu.py', [folder, ...Object.values(shape).map(String)]))?.document;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
