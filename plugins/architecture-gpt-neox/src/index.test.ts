import { readFile } from 'node:fs/promises';
import type { ModelConfig } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { gptNeoxArchitecture } from './index.js';

const fixture = new URL('../../../packages/testkit/fixtures/architectures/gpt_neox/config.json', import.meta.url);
const small: ModelConfig = { model_type: 'gpt_neox', hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4, vocab_size: 160 };

describe('gptNeoxArchitecture', () => {
  it('describes a saved configuration', async () => {
    const description = gptNeoxArchitecture.describe(JSON.parse(await readFile(fixture, 'utf8')) as ModelConfig);
    const block = description.blocks[0]!;
    expect(description.head).toEqual({ module: 'embed_out', bias: false, tied: false, softcap: undefined });
    expect(block.parallelResidual).toBe(true);
    expect(block.attention.projections.kind).toBe('interleaved');
    expect(block.attention.rotary).toEqual({ theta: 10000, dimensions: 4, scaling: { kind: 'none' } });
    expect(block.mlp).toMatchObject({ kind: 'plain', activation: 'gelu' });
  });

  it('reads old and new spellings of the rotary keys', () => {
    const rotary = (change: ModelConfig): unknown => gptNeoxArchitecture.describe({ ...small, ...change }).blocks[0]?.attention.rotary;
    expect(rotary({ rotary_pct: 0.5, rotary_emb_base: 5000 })).toEqual({ theta: 5000, dimensions: 8, scaling: { kind: 'none' } });
    expect(rotary({ rope_parameters: { rope_type: 'default', rope_theta: 5000, partial_rotary_factor: 0.5 } })).toEqual(rotary({ rotary_pct: 0.5, rotary_emb_base: 5000 }));
    expect(rotary({})).toEqual({ theta: 10000, dimensions: 4, scaling: { kind: 'none' } });
  });

  it('follows use_parallel_residual and attention_bias', () => {
    const block = gptNeoxArchitecture.describe({ ...small, use_parallel_residual: false, attention_bias: false }).blocks[0]!;
    expect([block.parallelResidual, block.attention.output.bias, block.mlp.kind === 'plain' && block.mlp.up.bias]).toEqual([false, false, true]);
  });

  it.each([
    [{ num_attention_heads: 7 }, 'num_attention_heads is 7'],
    [{ rotary_pct: 0.01 }, 'rotary_pct is 0.01'],
    [{ rotary_pct: 2 }, 'rotary_pct is 2'],
  ])('refuses %o', (change, message) => {
    expect(() => gptNeoxArchitecture.describe({ ...small, ...change })).toThrow(message);
  });
});
