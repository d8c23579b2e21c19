import { readFile } from 'node:fs/promises';
import type { ModelConfig } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { gpt2Architecture } from './index.js';

const fixture = new URL('../../../packages/testkit/fixtures/architectures/gpt2/config.json', import.meta.url);
const small: ModelConfig = { model_type: 'gpt2', n_embd: 64, n_layer: 3, n_head: 4, vocab_size: 160 };

describe('gpt2Architecture', () => {
  it('describes a saved configuration', async () => {
    const description = gpt2Architecture.describe(JSON.parse(await readFile(fixture, 'utf8')) as ModelConfig);
    const block = description.blocks[1]!;
    expect(description).toMatchObject({ hiddenSize: 64, vocabularySize: 160, maxPositions: 128, embedding: { module: 'transformer.wte', positions: { module: 'transformer.wpe', offset: 0 } } });
    expect(description.head.tied).toBe(true);
    expect(block.attention.projections).toEqual({
      kind: 'concatenated',
      fused: { module: 'transformer.h.1.attn.c_attn', inFeatures: 64, outFeatures: 192, bias: true, layout: 'in-out' },
    });
    expect(block.mlp).toMatchObject({ kind: 'plain', activation: 'gelu-tanh', up: { module: 'transformer.h.1.mlp.c_fc', outFeatures: 256 } });
  });

  it('reads the sizes under their general names too', () => {
    const general = { model_type: 'gpt2', hidden_size: 64, num_hidden_layers: 3, num_attention_heads: 4, vocab_size: 160 };
    expect(gpt2Architecture.describe(general)).toEqual(gpt2Architecture.describe(small));
  });

  it('scales scores by layer, or not at all, when told', () => {
    const scales = (change: ModelConfig): number[] => gpt2Architecture.describe({ ...small, ...change }).blocks.map((block) => block.attention.scale);
    expect(scales({})).toEqual([0.25, 0.25, 0.25]);
    expect(scales({ scale_attn_weights: false })).toEqual([1, 1, 1]);
    expect(scales({ scale_attn_by_inverse_layer_idx: true })).toEqual([0.25, 0.125, 0.25 / 3]);
  });

  it.each([
    [{ n_head: 5 }, 'n_head is 5'],
    [{ n_embd: undefined }, 'n_embd is missing'],
    [{ add_cross_attention: true }, 'add_cross_attention is true'],
    [{ activation_function: 'tanh' }, 'activation_function is "tanh"'],
  ])('refuses %o', (change, message) => {
    expect(() => gpt2Architecture.describe({ ...small, ...change })).toThrow(message);
  });
});
