/* What the benchmarks of GPU backends share: a model of SmolLM2-135M's shape with random weights, the cost of an operator, and the speed of forward passes. */
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { float32Tensor } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { createBlockRunner } from '@pare/model';
import { withResource } from './lib.mjs';

const length = 512;

/** Random numbers that are the same everywhere (mulberry32). */
function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const smolShape = { hidden: 576, inner: 1536, heads: 9, keyHeads: 3, layers: 30, vocabulary: 49152, positions: 2048 };

/** Random bfloat16 words around zero, each drawn by itself. */
function drawn(words, next) {
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  for (let index = 0; index < words.length; index++) {
    float[0] = (next() - 0.5) * 0.08;
    words[index] = bits[0] >>> 16;
  }
}

/** The same for billions of words: runs from random places of some that were drawn. */
export function repeated() {
  let table;
  return (words, next) => {
    if (table === undefined) drawn((table = new Uint16Array(2 ** 22)), next);
    for (let start = 0; start < words.length; ) {
      const from = Math.floor(next() * table.length);
      const run = table.subarray(from, Math.min(table.length, from + 65_536, from + words.length - start));
      words.set(run, start);
      start += run.length;
    }
  };
}

/** A folder with a llama of a shape, SmolLM2-135M's by default, and random bfloat16 weights. */
export function writeRandomModel(folder, { hidden, inner, heads, keyHeads, layers, vocabulary, positions } = smolShape, fill = drawn) {
  mkdirSync(folder, { recursive: true });
  const size = hidden / heads;
  const shapes = { 'model.embed_tokens.weight': [vocabulary, hidden], 'model.norm.weight': [hidden] };
  for (let layer = 0; layer < layers; layer++) {
    const name = (part) => `model.layers.${String(layer)}.${part}.weight`;
    Object.assign(shapes, {
      [name('input_layernorm')]: [hidden],
      [name('post_attention_layernorm')]: [hidden],
      [name('self_attn.q_proj')]: [heads * size, hidden],
      [name('self_attn.k_proj')]: [keyHeads * size, hidden],
      [name('self_attn.v_proj')]: [keyHeads * size, hidden],
      [name('self_attn.o_proj')]: [hidden, heads * size],
      [name('mlp.gate_proj')]: [inner, hidden],
      [name('mlp.up_proj')]: [inner, hidden],
      [name('mlp.down_proj')]: [hidden, inner],
    });
  }
  const header = {};
  let offset = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const bytes = 2 * shape.reduce((product, extent) => product * extent, 1);
    header[name] = { dtype: 'BF16', shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const text = Buffer.from(JSON.stringify({ __metadata__: { format: 'pt' }, ...header }));
  const pad = (8 - (text.length % 8)) % 8;
  const start = Buffer.alloc(8 + text.length + pad, 0x20);
  start.writeBigUInt64LE(BigInt(text.length + pad));
  text.copy(start, 8);
  const next = random(7);
  const file = openSync(join(folder, 'model.safetensors'), 'w');
  writeSync(file, start);
  for (const [name, { data_offsets: range }] of Object.entries(header)) {
    const words = new Uint16Array((range[1] - range[0]) / 2);
    // 0x3f80 is 1.
    if (name.includes('norm')) for (let index = 0; index < words.length; index++) words[index] = 0x3f80;
    else fill(words, next);
    writeSync(file, words);
  }
  closeSync(file);
  writeFileSync(
    join(folder, 'config.json'),
    JSON.stringify({
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      hidden_size: hidden,
      intermediate_size: inner,
      num_attention_heads: heads,
      num_key_value_heads: keyHeads,
      num_hidden_layers: layers,
      vocab_size: vocabulary,
      max_position_embeddings: positions,
      rms_norm_eps: 1e-5,
      rope_theta: 10000,
      hidden_act: 'silu',
      tie_word_embeddings: true,
      torch_dtype: 'bfloat16',
    }),
  );
}

/** Seconds that a chain of small products takes, for each operator: what a dispatch costs. */
export async function dispatchCost(backend) {
  const builder = new GraphBuilder('chain');
  const steps = 1000;
  let x = builder.input('x', 'float32', [16, 16]);
  const weight = builder.input('w', 'float32', [16, 16]);
  for (let step = 0; step < steps; step++) x = builder.matmul(x, weight);
  builder.output(x, 'y');
  const filled = (value) => backend.write(float32Tensor([16, 16], new Float32Array(256).fill(value)));
  return withResource(await backend.compile(builder.build()), (executable) =>
    withResource(backend.scope(), async (scope) => {
      const inputs = { x: scope.own(filled(0.01)), w: scope.own(filled(0.05)) };
      let best = Infinity;
      for (let round = 0; round < 4; round++) {
        const start = performance.now();
        const { y } = await executable.run(inputs);
        await backend.synchronize();
        if (round > 0) best = Math.min(best, performance.now() - start);
        y[Symbol.dispose]();
      }
      return best / 1000 / steps;
    }),
  );
}

/** Tokens a second of the whole negative log-likelihood, second of two rounds (the first compiles). Without `chunkTokens` as many tokens at once as the runner takes. */
export async function likelihood(backend, model, count, chunkTokens) {
  const next = random(11);
  const ids = Array.from({ length: count }, () => Int32Array.from({ length }, () => Math.floor(next() * model.description.vocabularySize)));
  const round = (some) =>
    withResource(createBlockRunner({ model, backend, chunkTokens }), async (runner) => {
      const start = performance.now();
      return withResource(await runner.embed(some), async (hidden) => {
        for (const block of model.description.blocks.keys()) await runner.advance(block, hidden);
        await backend.synchronize();
        const blockSeconds = (performance.now() - start) / 1000;
        const losses = await runner.negativeLogLikelihood(hidden, some);
        const seconds = (performance.now() - start) / 1000;
        const mean = losses.reduce((sum, values) => sum + values.reduce((a, b) => a + b, 0), 0) / (some.length * (length - 1));
        return { tokensPerSecond: (some.length * length) / seconds, seconds, blockSeconds, meanNegativeLogLikelihood: mean };
      });
    });
  await round(ids.slice(0, Math.max(1, Math.ceil((chunkTokens ?? 16_384) / length))));
  return round(ids);
}
