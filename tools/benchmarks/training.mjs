/*
 * npm run bench -- training: steps of training examples/models/tales-7m on the cpu backend, beside torch on as many threads, and the backward pass of a decoder block in the shapes of SmolLM2-135M
 * beside its forward pass. Processor seconds are those of the whole process; they compare programs on a machine that others use, too.
 */
import { availableParallelism } from 'node:os';
import { float32Tensor } from '@pare/core';
import { cpuBackend } from '@pare/backend-cpu';
import { llamaArchitecture } from '@pare/architecture-llama';
import { gradientGraph } from '@pare/graph';
import { buildBlockGraph, relativeBlock } from '@pare/model';
import { inputs, megabytes, round, runPeer, silent, table, withResource } from './lib.mjs';
import { median, trainingSteps } from './training-lib.mjs';

const shape = { windows: 16, length: 256, steps: 4, warmup: 1 };
const threads = availableParallelism();

async function steps(directory, options) {
  return withResource(await cpuBackend.create({ threads }, { log: silent }), (backend) => trainingSteps(backend, directory, { ...shape, ...options }));
}

async function blockPasses() {
  const description = llamaArchitecture.describe({
    model_type: 'llama', hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 1, num_attention_heads: 9, num_key_value_heads: 3,
    vocab_size: 49152, max_position_embeddings: 8192, rope_theta: 100000, rms_norm_eps: 1e-5, hidden_act: 'silu', tie_word_embeddings: true,
  });
  const backend = await cpuBackend.create({ threads }, { log: silent });
  const { graph, parameters } = buildBlockGraph({ block: relativeBlock(description.blocks[0]), hiddenSize: description.hiddenSize, length: 512, experts: 'all' });
  const output = graph.outputs[0].name;
  const trained = parameters.map(({ name }) => name);
  const passes = { forward: graph, 'forward and backward': gradientGraph(graph, { of: output, withRespectTo: ['hidden', ...trained], cotangents: { [output]: 'cotangent' } }) };
  const found = {};
  for (const [name, pass] of Object.entries(passes)) {
    const executable = await backend.compile(pass);
    const shaped = ({ shape }) => shape.map((size) => (size === 'batch' ? 4 : size));
    const given = Object.fromEntries(
      pass.inputs.map((input) => {
        const shape = shaped(input);
        return [input.name, backend.write(float32Tensor(shape, Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () => (Math.random() - 0.5) * (input.name === 'hidden' ? 1 : 0.1))))];
      }),
    );
    const [seconds, processor] = [[], []];
    for (let round = 0; round < 8; round++) {
      const [start, used] = [performance.now(), process.cpuUsage()];
      const outputs = await executable.run(given);
      seconds.push((performance.now() - start) / 1000);
      const spent = process.cpuUsage(used);
      processor.push((spent.user + spent.system) / 1e6);
      for (const tensor of Object.values(outputs)) tensor[Symbol.dispose]();
    }
    for (const tensor of Object.values(given)) tensor[Symbol.dispose]();
    await executable[Symbol.asyncDispose]();
    found[name] = { seconds: median(seconds.slice(2)), processor: median(processor.slice(2)) };
  }
  await backend[Symbol.asyncDispose]();
  return found;
}

const { model } = inputs();
const rate = (seconds) => round((shape.windows * shape.length) / seconds, 0);
const rows = [['step of 16 windows of 256 tokens', 'tokens/s', 'seconds', 'processor seconds', 'tensors of the backend']];
const whole = await steps(model, { recompute: false, microBatch: 2 });
const add = (name, { seconds, processor, peakBytes }) => rows.push([name, rate(seconds), round(seconds), round(processor), peakBytes === undefined ? '' : megabytes(peakBytes)]);
add('pare, whole graph, 2 windows at once', whole);
add('pare, blocks computed again, 2 windows at once', await steps(model, { recompute: true, microBatch: 2 }));
// One thread as well: torch's threads spin while they wait, which costs processor seconds on a busy machine.
for (const count of new Set([threads, 1])) {
  const peer = await runPeer('torch_training.py', [model, ...Object.values(shape).map(String), String(count)]);
  if (peer === undefined) process.stdout.write('Set PARE_BENCH_PYTHON to an interpreter with torch and transformers for the comparison.\n');
  else add(`torch ${peer.document.torch}, ${String(count)} thread(s)`, peer.document);
}
table(rows);
process.stdout.write('\n');
const block = await blockPasses();
table([
  ['block of SmolLM2-135M, 4 windows of 512', 'ms', 'processor ms', 'times the forward pass'],
  ...Object.entries(block).map(([name, { seconds, processor }]) => [name, round(seconds * 1000, 0), round(processor * 1000, 0), round(processor / block.forward.processor)]),
]);
process.stdout.write(`\nPeak resident ${megabytes(process.resourceUsage().maxRSS * 1024)}\n`);
