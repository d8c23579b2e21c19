/*
 * node tools/benchmarks/cpu-block.mjs [windows a chunk …]: times a decoder block's forward pass and its calibration pass (Gram matrices of every linear
 * layer's input but the down projection's, or all of them) on the cpu backend, in the shapes of a 135M-parameter Llama. Build first.
 */
import { availableParallelism } from 'node:os';
import { float32Tensor } from '@pare/core';
import { cpuBackend } from '@pare/backend-cpu';
import { llamaArchitecture } from '@pare/architecture-llama';
import { buildBlockGraph, buildCalibrationGraph, gramStatistic, relativeBlock } from '@pare/model';

const length = 512;
const windows = 32;
const description = llamaArchitecture.describe({
  model_type: 'llama', hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 1, num_attention_heads: 9, num_key_value_heads: 3,
  vocab_size: 49152, max_position_embeddings: 8192, rope_theta: 100000, rms_norm_eps: 1e-5, hidden_act: 'silu', tie_word_embeddings: true,
});
const block = relativeBlock(description.blocks[0]);
const options = { block, hiddenSize: description.hiddenSize, length, experts: 'all' };
const { attention, mlp } = block;
const layers = [attention.projections.query, attention.projections.key, attention.projections.value, attention.output, mlp.gate, mlp.up, mlp.down];
const requests = (modules) => modules.map(({ module }) => ({ module, statistics: [gramStatistic] }));

const products = layers.reduce((sum, layer) => sum + 2 * length * layer.inFeatures * layer.outFeatures, 0);
const attended = 4 * length * length * attention.heads * attention.headSize;
const backend = await cpuBackend.create({ threads: availableParallelism() }, { log: console });
const random = (shape, scale = 1) =>
  backend.write(float32Tensor(shape, Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () => (Math.random() - 0.5) * scale)), { transfer: true });

for (const chunk of process.argv.length > 2 ? process.argv.slice(2).map(Number) : [1, 2, 4, 8]) {
  const passes = {
    'forward': buildBlockGraph(options).graph,
    'calibration, down left out': buildCalibrationGraph(options, requests(layers.slice(0, -1))).graph,
    'calibration, all': buildCalibrationGraph(options, requests(layers)).graph,
  };
  for (const [name, graph] of Object.entries(passes)) {
    const started = performance.now();
    const executable = await backend.compile(graph);
    const compiled = performance.now() - started;
    const inputs = Object.fromEntries(graph.inputs.map((input) => [input.name, random(input.shape.map((size) => (size === 'batch' ? chunk : size)), input.name === 'hidden' ? 1 : 0.1)]));
    let best = Infinity;
    for (let round = 0; round < windows / chunk; round++) {
      const start = performance.now();
      const outputs = await executable.run(inputs);
      best = Math.min(best, performance.now() - start);
      for (const [output, tensor] of Object.entries(outputs)) {
        const state = output.replace('next.', 'state.');
        if (state in inputs) {
          inputs[state][Symbol.dispose]();
          inputs[state] = tensor;
        } else tensor[Symbol.dispose]();
      }
    }
    for (const tensor of Object.values(inputs)) tensor[Symbol.dispose]();
    await executable[Symbol.asyncDispose]();
    const rate = name === 'forward' ? `${(((products + attended) * chunk) / best / 1e6).toFixed(0)} GFLOP/s with all scores counted` : '';
    process.stdout.write(
      `${String(chunk)} × ${String(length)}  ${name.padEnd(27)} ${(best / chunk).toFixed(2).padStart(7)} ms a window, compiled in ${compiled.toFixed(0)} ms, ${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB resident ${rate}\n`,
    );
  }
}
await backend[Symbol.asyncDispose]();
