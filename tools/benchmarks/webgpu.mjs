/*
 * The WebGPU backend beside the cpu backend in one run, on whatever adapter Dawn finds: cost of an operator, forward passes of a model of SmolLM2-135M's shape with random
 * weights (speed does not depend on them), and GPTQ of the embedded model. Prints a table and one JSON document.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openModel } from '@pare/model';
import { llamaArchitecture } from '@pare/architecture-llama';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { webgpuBackend } from '@pare/backend-webgpu';
import { dispatchCost, likelihood, writeRandomModel } from './gpu-lib.mjs';
import { silent } from './lib.mjs';

const windows = Number(process.env['PARE_BENCH_WINDOWS'] ?? '64');
const report = { ...(await webgpuBackend.score()) };

const folder = mkdtempSync(join(tmpdir(), 'pare-bench-'));
try {
  writeRandomModel(folder);
  const model = await openModel(folder, { architectures: [llamaArchitecture] });
  const backends = {
    webgpu: await webgpuBackend.create({ powerPreference: 'high-performance', software: true }, { log: silent }),
    cpu: await cpuBackend.create(cpuOptions.parse({}), { log: silent }),
  };
  for (const [id, backend] of Object.entries(backends)) {
    const entry = { device: backend.device.name, secondsPerOperator: await dispatchCost(backend) };
    const chunks = id === 'webgpu' ? [2048, 8192, 32768] : [2048];
    for (const chunkTokens of chunks) {
      entry[`chunk${String(chunkTokens)}`] = await likelihood(backend, model, windows, chunkTokens);
      process.stderr.write(`${id} ${JSON.stringify(entry)}\n`);
    }
    report[id] = entry;
    await backend[Symbol.asyncDispose]();
  }
  await model[Symbol.asyncDispose]();
  const best = Math.max(...Object.values(report.webgpu).map((value) => value?.tokensPerSecond ?? 0));
  report.ratio = best / report.cpu.chunk2048.tokensPerSecond;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
