/*
 * The CUDA backend on the GPU at hand: cost of an operator, forward passes of a model of SmolLM2-135M's shape with random weights in each precision (speed does not depend on
 * them), and GPTQ of the embedded model beside the cpu backend. With PARE_BENCH_PYTHON, the same model's negative log-likelihood through transformers (bfloat16, sdpa) in
 * the same run. Prints one JSON document. Matrix products: plugins/backend-cuda/bench/matmul.mjs.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openModel } from '@pare/model';
import { llamaArchitecture } from '@pare/architecture-llama';
import { cudaBackend } from '@pare/backend-cuda';
import { dispatchCost, likelihood, writeRandomModel } from './gpu-lib.mjs';
import { inputs, runPare, runPeer, silent, withResource } from './lib.mjs';

const windows = Number(process.env['PARE_BENCH_WINDOWS'] ?? '256');
const report = { ...(await cudaBackend.score()), windows };
const folder = mkdtempSync(join(tmpdir(), 'pare-bench-'));
try {
  const random = join(folder, 'random');
  writeRandomModel(random);
  await withResource(await openModel(random, { architectures: [llamaArchitecture] }), async (model) => {
    for (const precision of ['float32', 'tf32', 'bfloat16']) {
      report[precision] = await withResource(await cudaBackend.create({ device: 0, devices: 1, precision }, { log: silent }), async (backend) => {
        const entry = { secondsPerOperator: await dispatchCost(backend) };
        for (const chunkTokens of [undefined, 2048, 32768]) {
          entry[`chunk ${String(chunkTokens ?? 'default')}`] = await likelihood(backend, model, windows, chunkTokens);
          process.stderr.write(`${precision} ${JSON.stringify(entry)}\n`);
        }
        return entry;
      });
    }
  });
  report.torch = (await runPeer('transformers_likelihood.py', [random, String(windows)]))?.document;
  const { model: tales, calibration, evaluation } = inputs();
  report.gptq = {};
  for (const backend of ['cuda', 'cpu']) {
    const output = join(folder, backend);
    const { document } = await runPare(['compress', tales, '--recipe', 'gptq-w4', '--set', 'gptq.groupSize=64', '--calibration', calibration, '--samples', '128', '--sequence-length', '512', '--output', output, '--backend', backend]);
    const evaluated = await runPare(['evaluate', output, '--no-cache', '--evaluator', 'perplexity', '--data', evaluation, '--samples', '64', '--sequence-length', '512', '--backend', backend]);
    report.gptq[backend] = { stages: document.stages, perplexity: evaluated.document.metrics.perplexity };
    process.stderr.write(`${backend} ${JSON.stringify(report.gptq[backend])}\n`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
