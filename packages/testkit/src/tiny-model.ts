import { createRandom, float32Tensor, type Model } from '@pare/core';
import { openModel, tensorEntry, writeSafetensors } from '@pare/model';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { architectures } from './architectures.js';
import { fixtures, type FixtureName } from './fixtures.js';
import { temporaryDirectory, type TemporaryDirectory } from './temporary-directory.js';
import { writeTinyTokenizer } from './tokenizer.js';

/** Opens a fixture as a model. The caller disposes it. */
export function openFixture(name: FixtureName): Promise<Model> {
  return openModel(fixtures.model(name), { architectures });
}

/**
 * A copy of a fixture in a temporary folder, with a tokenizer for its vocabulary, so that it can be calibrated, evaluated and spoilt.
 * @returns the model's folder, `<temporary>/model`, inside a temporary folder that also has room for outputs
 */
export async function tinyModel(name: FixtureName): Promise<TemporaryDirectory & { readonly model: string }> {
  const directory = await temporaryDirectory();
  const model = directory.join('model');
  await cp(fixtures.model(name), model, { recursive: true });
  await rm(join(model, 'golden.safetensors'));
  const config = JSON.parse(await readFile(join(model, 'config.json'), 'utf8')) as { vocab_size: number };
  await writeTinyTokenizer(model, config.vocab_size);
  return { ...directory, model };
}

/** Sizes of a synthetic model. */
export interface SyntheticSizes {
  readonly layers: number;
  readonly hidden?: number;
  readonly intermediate?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly vocabulary?: number;
  readonly maxPositions?: number;
}

/**
 * Writes a Llama of any depth and width with seeded random weights (normal, σ = 0.02) in float32 and a tiny tokenizer: for measuring how time and memory grow.
 * Tensors are made one at a time.
 */
export async function writeSyntheticLlama(directory: string, sizes: SyntheticSizes, seed = 1): Promise<void> {
  const { layers, hidden = 64, intermediate = 2 * hidden, heads = 4, kvHeads = heads, vocabulary = 160, maxPositions = 512 } = sizes;
  const headSize = hidden / heads;
  await mkdir(directory, { recursive: true });
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    dtype: 'float32',
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: headSize,
    hidden_act: 'silu',
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    attention_bias: false,
    mlp_bias: false,
    max_position_embeddings: maxPositions,
    vocab_size: vocabulary,
    tie_word_embeddings: false,
    bos_token_id: 1,
    eos_token_id: 2,
  };
  await writeFile(join(directory, 'config.json'), JSON.stringify(config, undefined, 2));
  const shapes: [string, number[]][] = [['model.embed_tokens.weight', [vocabulary, hidden]]];
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${String(layer)}.`;
    shapes.push(
      [`${prefix}input_layernorm.weight`, [hidden]],
      [`${prefix}self_attn.q_proj.weight`, [heads * headSize, hidden]],
      [`${prefix}self_attn.k_proj.weight`, [kvHeads * headSize, hidden]],
      [`${prefix}self_attn.v_proj.weight`, [kvHeads * headSize, hidden]],
      [`${prefix}self_attn.o_proj.weight`, [hidden, heads * headSize]],
      [`${prefix}post_attention_layernorm.weight`, [hidden]],
      [`${prefix}mlp.gate_proj.weight`, [intermediate, hidden]],
      [`${prefix}mlp.up_proj.weight`, [intermediate, hidden]],
      [`${prefix}mlp.down_proj.weight`, [hidden, intermediate]],
    );
  }
  shapes.push(['model.norm.weight', [hidden]], ['lm_head.weight', [vocabulary, hidden]]);
  const entries = shapes.map(([name, shape], index) => ({
    ...tensorEntry(name, { dtype: 'float32', shape, data: new Float32Array(0) }),
    read: () => Promise.resolve(randomTensor(shape, seed + index)),
  }));
  await writeSafetensors(join(directory, 'model.safetensors'), entries);
  await writeTinyTokenizer(directory, vocabulary);
}

/** Norm weights are ones, matrices normal with σ = 0.02 (Box–Muller). */
function randomTensor(shape: readonly number[], seed: number): ReturnType<typeof float32Tensor> {
  const tensor = float32Tensor(shape);
  if (shape.length === 1) {
    tensor.data.fill(1);
    return tensor;
  }
  const random = createRandom(seed);
  for (let index = 0; index < tensor.data.length; index++) {
    tensor.data[index] = 0.02 * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  }
  return tensor;
}
