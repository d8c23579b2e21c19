import { readFile } from 'node:fs/promises';
import type { ModelConfig } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { optArchitecture } from './index.js';

const fixture = new URL('../../../packages/testkit/fixtures/architectures/opt/config.json', import.meta.url);
const small: ModelConfig = { model_type: 'opt', hidden_size: 64, ffn_dim: 128, num_hidden_layers: 2, num_attention_heads: 4, vocab_size: 160 };

describe('optArchitecture', () => {
  it('describes a saved configuration', async () => {
    const description = optArchitecture.describe(JSON.parse(await readFile(fixture, 'utf8')) as ModelConfig);
    const block = description.blocks[0]!;
    expect(description.embedding).toEqual({ module: 'model.decoder.embed_tokens', scale: 1, positions: { module: 'model.decoder.embed_positions', offset: 2 } });
    expect(description.maxPositions).toBe(128);
    expect(block.attention).toMatchObject({ heads: 4, kvHeads: 4, headSize: 16, scale: 0.25, rotary: undefined });
    expect(block.mlp).toMatchObject({ kind: 'plain', activation: 'relu', up: { module: 'model.decoder.layers.0.fc1', bias: true } });
    expect(description.finalNorm).toEqual({ kind: 'layer', module: 'model.decoder.final_layer_norm', epsilon: 1e-5, bias: true, weightOffset: 0 });
  });

  it('leaves biases out when enable_bias is false', () => {
    const block = optArchitecture.describe({ ...small, enable_bias: false }).blocks[0]!;
    expect([block.attention.output.bias, block.attentionNorm.bias]).toEqual([false, true]);
  });

  it.each([
    [{ do_layer_norm_before: false }, 'do_layer_norm_before is false'],
    [{ word_embed_proj_dim: 32 }, 'word_embed_proj_dim is 32'],
    [{ layer_norm_elementwise_affine: false }, 'layer_norm_elementwise_affine is false'],
    [{ _remove_final_layer_norm: true }, '_remove_final_layer_norm is true'],
    [{ ffn_dim: 0 }, 'ffn_dim is 0'],
  ])('refuses %o', (change, message) => {
    expect(() => optArchitecture.describe({ ...small, ...change })).toThrow(message);
  });
});
