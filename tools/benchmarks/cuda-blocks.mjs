/*
 * GPTQ (4 bits, groups of 128) of blocks of Llama-3-8B's shape on the CUDA backend, windows of 2,048 tokens, from the model folder to the written one: a run as it is, and one that waits
 * after every step to say what each takes. With PARE_BENCH_PYTHON a straightforward GPTQ in torch on the same shape in the same run (tools/benchmarks/peers/torch_gptq_block.py).
 * PARE_BENCH_BLOCKS blocks (4), PARE_BENCH_WINDOWS windows (128) for both, in PARE_BENCH_PRECISION (bfloat16). PARE_BENCH_DEVICES=2 adds a run on two GPUs, PARE_BENCH_RUNS=run leaves the first (which compiles kernels)
 * and the one in parts out. Prints one JSON document.
 */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { llamaArchitecture } from '@pare/architecture-llama';
import { cudaBackend } from '@pare/backend-cuda';
import { huggingFaceFormat } from '@pare/format-hf';
import presets from '@pare/preset-standard';
import { createHost } from '@pare/runtime';
import { columnSolver } from '@pare/solvers';
import { gptq } from '@pare/technique-gptq';
import { repeated, writeRandomModel } from './gpu-lib.mjs';
import { inputs, runPeer, silent, withResource } from './lib.mjs';

const blocks = Number(process.env['PARE_BENCH_BLOCKS'] ?? '4');
const samples = Number(process.env['PARE_BENCH_WINDOWS'] ?? '128');
const precision = process.env['PARE_BENCH_PRECISION'] ?? 'bfloat16';
const devices = Number(process.env['PARE_BENCH_DEVICES'] ?? '1');
const runs = process.env['PARE_BENCH_RUNS']?.split(',') ?? ['first', 'run', 'parts', ...(devices > 1 ? ['devices'] : [])];
const shape = { hidden: 4096, inner: 14_336, heads: 32, keyHeads: 8, layers: blocks, vocabulary: 4096, positions: 8192 };

/** A backend that adds up how long each kind of work takes, and waits for each. */
function timed(backend, seconds) {
  const during = async (name, work) => {
    const start = performance.now();
    const result = await work();
    await backend.synchronize();
    seconds[name] = (seconds[name] ?? 0) + (performance.now() - start) / 1000;
    return result;
  };
  const solver = backend.capability(columnSolver);
  const { resident } = solver;
  const timedSolver = {
    ...solver,
    resident: { factorize: (request) => during('factorize', () => resident.factorize(request)), sweep: (request) => during('sweep', () => resident.sweep(request)) },
  };
  const replaced = {
    write: (tensor, options) => {
      const start = performance.now();
      const written = backend.write(tensor, options);
      seconds['hand to the device'] = (seconds['hand to the device'] ?? 0) + (performance.now() - start) / 1000;
      return written;
    },
    compile: async (graph) => {
      const executable = await backend.compile(graph);
      return { graph, run: (given, options) => during(`graph ${graph.name}`, () => executable.run(given, options)), [Symbol.asyncDispose]: () => executable[Symbol.asyncDispose]() };
    },
    capability: (ref) => (ref.id === columnSolver.id ? timedSolver : backend.capability(ref)),
  };
  return new Proxy(backend, {
    get(target, key) {
      if (Object.hasOwn(replaced, key)) return replaced[key];
      const value = target[key];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

async function compress(folder, model, calibration, name) {
  const instrument = name === 'parts';
  const seconds = {};
  const blockSeconds = [];
  let began = 0;
  return withResource(await cudaBackend.create({ device: 0, devices: name === 'devices' ? devices : 1, precision }, { log: silent }), async (backend) => {
    const host = await createHost({ plugins: [llamaArchitecture, gptq, huggingFaceFormat, presets], logger: silent, memoryIntervalSeconds: 0 });
    host.events.on('block:done', ({ seconds: block }) => blockSeconds.push(block));
    host.events.on('format:start', () => (began = performance.now()));
    try {
      const result = await host.compress({
        model,
        recipe: 'gptq-w4',
        calibration: { data: calibration, samples, sequenceLength: 2048 },
        output: join(folder, name),
        backend: instrument ? timed(backend, seconds) : backend,
      });
      const writing = (performance.now() - began) / 1000;
      rmSync(join(folder, name), { recursive: true });
      const stage = result.stages[0];
      return { seconds: result.seconds, stageSeconds: stage.seconds, secondsPerBlock: stage.seconds / blocks, blockSeconds, writing, loss: stage.loss, deviceBytes: [backend, ...backend.peers].map((device) => device.memory().peakBytes), hostBytes: result.peakMemoryBytes, ...(instrument ? { parts: seconds } : {}) };
    } finally {
      await host[Symbol.asyncDispose]();
    }
  });
}

const report = { ...(await cudaBackend.score()), blocks, samples, precision };
const folder = mkdtempSync(join(tmpdir(), 'pare-bench-'));
try {
  const { model: tales, calibration } = inputs();
  const model = join(folder, 'model');
  writeRandomModel(model, shape, repeated());
  for (const file of ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json']) copyFileSync(join(tales, file), join(model, file));
  for (const name of runs) {
    report[name] = await compress(folder, model, calibration, name);
    process.stderr.write(`${name} ${JSON.stringify(report[name])}\n`);
  }
  report.torch = (await runPeer('torch_gptq_block.py', [String(samples)]))?.document;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
