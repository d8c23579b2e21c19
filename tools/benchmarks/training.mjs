/*
 * npm run bench -- training: steps of training examples/models/tales-7m on the cpu backend, beside torch on as many threads, and the backward pass of a decoder block in the shapes of SmolLM2-135M
 * beside its forward pass. Processor seconds are those of the whole process; they compare programs on a machine that others use, too.
 */
import { availableParallelism } from 'node:os';
import { float32Tensor } from '@pare/core';
import { cpuBackend } from '@pare/backend-cpu';
import { llamaArchitecture } from '@pare/architecture-llama';
import { gradientGraph } from '@pare/graph';
import { buildBlockGraph, openModel, relativeBlock } from '@pare/model';
import { adamW, crossEntropy, decoderSegments, loadParameters, schedule, train, TrainingOrder, windowBatches } from '@pare/training';
import { inputs, megabytes, round, runPeer, table } from './lib.mjs';

const [windows, length, steps, warmup] = [16, 256, 4, 1];
const threads = availableParallelism();

/** Median of the numbers behind the first few. */
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function trainingSteps(directory, { recompute, microBatch }) {
  const backend = await cpuBackend.create({ threads }, { log: console });
  const model = await openModel(directory, { architectures: [llamaArchitecture] });
  const segments = decoderSegments({ description: model.description, experts: 'all', loss: crossEntropy });
  const parameters = await loadParameters(backend, model, segments);
  const texts = Array.from({ length: windows }, (_, window) => ({ ids: Int32Array.from({ length }, (_token, position) => (window * 977 + position * 31) % 4000), mask: new Uint8Array(length).fill(1) }));
  const [seconds, processor] = [[], []];
  let before = process.cpuUsage();
  await train({
    backend,
    segments,
    parameters,
    trainable: new Set(parameters.keys()),
    steps: steps + warmup,
    batches: windowBatches({ windows: texts, order: new TrainingOrder({ count: windows, order: 'given', seed: 1 }), batchSize: windows, microBatch }),
    optimizer: adamW({ weightDecay: 0.01 }),
    schedule: schedule({ rate: 1e-4, warmup: 2, steps: steps + warmup }),
    clipNorm: 1,
    recompute,
    onStep: (report) => {
      const used = process.cpuUsage(before);
      before = process.cpuUsage();
      if (report.step <= warmup) return;
      seconds.push(report.seconds);
      processor.push((used.user + used.system) / 1e6);
    },
  });
  for (const tensor of parameters.values()) tensor[Symbol.dispose]();
  await model[Symbol.asyncDispose]();
  await backend[Symbol.asyncDispose]();
  return { seconds: median(seconds), processor: median(processor) };
}

async function blockPasses() {
  const description = llamaArchitecture.describe({
    model_type: 'llama', hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 1, num_attention_heads: 9, num_key_value_heads: 3,
    vocab_size: 49152, max_position_embeddings: 8192, rope_theta: 100000, rms_norm_eps: 1e-5, hidden_act: 'silu', tie_word_embeddings: true,
  });
  const backend = await cpuBackend.create({ threads }, { log: console });
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
const rate = (seconds) => round((windows * length) / seconds, 0);
const rows = [['step of 16 windows of 256 tokens', 'tokens/s', 'seconds', 'processor seconds']];
const whole = await trainingSteps(model, { recompute: false, microBatch: 2 });
const add = (name, { seconds, processor }) => rows.push([name, rate(seconds), round(seconds), round(processor)]);
add('pare, whole graph, 2 windows at once', whole);
add('pare, blocks computed again, 2 windows at once', await trainingSteps(model, { recompute: true, microBatch: 2 }));
// One thread as well: torch's threads spin while they wait, which costs processor seconds on a busy machine.
for (const count of new Set([threads, 1])) {
  const peer = await runPeer('torch_training.py', [model, String(windows), String(length), String(steps), String(warmup), String(count)]);
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
