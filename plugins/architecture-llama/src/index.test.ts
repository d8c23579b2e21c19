import { readFile } from 'node:fs/promises';
import { isPareError, type ModelConfig } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { llamaArchitecture } from './index.js';

const fixtures = new URL('../../../packages/testkit/fixtures/architectures/', import.meta.url);

async function fixture(name: string): Promise<ModelConfig> {
  return JSON.parse(await readFile(new URL(`${name}/config.json`, fixtures), 'utf8')) as ModelConfig;
}

const small: ModelConfig = {
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  vocab_size: 160,
};

function refusal(config: ModelConfig): string {
  try {
    llamaArchitecture.describe(config);
  } catch (error) {
    if (isPareError(error) && error.code === 'PARE_CONFIG_INVALID') return `${error.message} | ${error.help}`;
    throw error;
  }
  return 'accepted';
}

describe('llamaArchitecture', () => {
  it('reads old and new spellings of rotary keys alike', () => {
    const old = llamaArchitecture.describe({ ...small, rope_theta: 5e5, rope_scaling: { type: 'linear', factor: 4 } });
    const renewed = llamaArchitecture.describe({ ...small, rope_parameters: { rope_type: 'linear', factor: 4, rope_theta: 5e5 } });
    expect(old).toEqual(renewed);
    expect(old.blocks[0]?.attention.rotary).toEqual({ theta: 5e5, dimensions: 16, scaling: { kind: 'linear', factor: 4 } });
  });

  it('reads llama3 scaling', async () => {
    const description = llamaArchitecture.describe(await fixture('llama-tied-rope-scaled'));
    expect(description.head).toEqual({ module: 'lm_head', bias: false, tied: true, softcap: undefined });
    expect(description.blocks[1]?.attention.rotary?.scaling).toEqual({
      kind: 'llama3',
      factor: 8,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalMaxPositions: 32,
    });
  });

  it('takes the head size from the family when the file has none', () => {
    const size = (modelType: string): number | undefined => llamaArchitecture.describe({ ...small, model_type: modelType }).blocks[0]?.attention.headSize;
    expect([size('llama'), size('mistral'), size('qwen3'), size('gemma2')]).toEqual([16, 16, 128, 256]);
  });

  it('puts biases where the family has them', () => {
    const llama = llamaArchitecture.describe({ ...small, attention_bias: true, mlp_bias: true }).blocks[0]!;
    const qwen = llamaArchitecture.describe({ ...small, model_type: 'qwen2' }).blocks[0]!;
    expect([llama.attention.output.bias, qwen.attention.output.bias]).toEqual([true, false]);
    expect([llama, qwen].map((block) => block.attention.projections.kind === 'separate' && block.attention.projections.value.bias)).toEqual([true, true]);
    expect([llama, qwen].map((block) => block.mlp.kind === 'gated' && block.mlp.down.bias)).toEqual([true, false]);
  });

  it('places sliding windows by the rule of each family', () => {
    const windows = (config: ModelConfig): (number | undefined)[] => llamaArchitecture.describe({ ...small, ...config }).blocks.map((block) => block.attention.slidingWindow);
    const off = [undefined, undefined, undefined, undefined];
    expect(windows({ sliding_window: 8 })).toEqual(off);
    expect(windows({ model_type: 'mistral' })).toEqual([4096, 4096, 4096, 4096]);
    expect(windows({ model_type: 'mistral', sliding_window: null })).toEqual(off);
    expect(windows({ model_type: 'phi3', sliding_window: 8 })).toEqual([8, 8, 8, 8]);
    expect(windows({ model_type: 'phi3' })).toEqual(off);
    expect(windows({ model_type: 'qwen2', sliding_window: 8 })).toEqual(off);
    expect(windows({ model_type: 'qwen2', sliding_window: 8, use_sliding_window: true, max_window_layers: 3 })).toEqual([undefined, undefined, undefined, 8]);
    expect(windows({ model_type: 'gemma2', sliding_window: 8 })).toEqual([8, undefined, 8, undefined]);
    const types = ['full_attention', 'sliding_attention', 'full_attention', 'full_attention'];
    expect(windows({ model_type: 'gemma2', sliding_window: 8, layer_types: types })).toEqual([undefined, 8, undefined, undefined]);
    expect(windows({ model_type: 'qwen3', sliding_window: 8, use_sliding_window: true, layer_types: types })).toEqual([undefined, 8, undefined, undefined]);
  });

  it('mixes dense layers and mixtures of experts', () => {
    const kinds = (config: ModelConfig): string[] =>
      llamaArchitecture.describe({ ...small, model_type: 'qwen3_moe', num_experts: 8, num_experts_per_tok: 2, ...config }).blocks.map((block) => block.mlp.kind);
    expect(kinds({})).toEqual(['moe', 'moe', 'moe', 'moe']);
    expect(kinds({ mlp_only_layers: [0] })).toEqual(['gated', 'moe', 'moe', 'moe']);
    expect(kinds({ decoder_sparse_step: 2 })).toEqual(['gated', 'moe', 'gated', 'moe']);
  });

  it("scales Gemma's embedding by √hidden in the type the model was saved in", () => {
    const scale = (dtype: string): number => llamaArchitecture.describe({ ...small, model_type: 'gemma2', hidden_size: 3072, head_dim: 16, torch_dtype: dtype }).embedding.scale;
    expect(scale('float32')).toBe(Math.fround(Math.sqrt(3072)));
    expect(scale('bfloat16')).toBe(55.5);
    expect(scale('float16')).toBe(55.4375);
  });

  it('reads caps, scale and norm offset of Gemma 2', async () => {
    const description = llamaArchitecture.describe(await fixture('gemma2'));
    const block = description.blocks[0]!;
    expect(description.head.softcap).toBe(30);
    expect([block.attention.softcap, block.attention.scale, block.attentionNorm.weightOffset]).toEqual([50, 0.25, 1]);
    expect(llamaArchitecture.describe({ ...small, model_type: 'gemma2', attn_logit_softcapping: null }).blocks[0]?.attention.softcap).toBeUndefined();
  });

  it.each([
    [{ hidden_size: undefined }, 'hidden_size is missing'],
    [{ hidden_size: '64' }, 'hidden_size is "64"'],
    [{ hidden_size: 66 }, 'head_dim is missing'],
    [{ num_key_value_heads: 3 }, 'num_key_value_heads is 3 | Allowed: a divisor of num_attention_heads (4).'],
    [{ hidden_act: 'quick_gelu' }, 'hidden_act is "quick_gelu"'],
    [{ rope_scaling: { type: 'dynamic', factor: 2 } }, 'rope_scaling.type is "dynamic" | Allowed: default, linear or llama3.'],
    [{ rope_parameters: { rope_type: 'yarn', factor: 2 } }, 'rope_parameters.rope_type is "yarn"'],
    [{ rope_parameters: { rope_type: 'linear' } }, 'rope_parameters.factor is missing'],
    [{ partial_rotary_factor: 0.5 }, 'partial_rotary_factor is 0.5'],
    [{ model_type: 'phi3', rope_scaling: { type: 'longrope', short_factor: [], long_factor: [] } }, 'rope_scaling.type is "longrope"'],
    [{ model_type: 'gemma2', layer_types: ['full_attention'] }, 'layer_types is 1 | Allowed: a list of 4 entries'],
    [{ model_type: 'gemma2', use_bidirectional_attention: true }, 'use_bidirectional_attention is true'],
    [{ model_type: 'qwen3_moe' }, 'num_experts is missing'],
    [{ model_type: 'qwen3_moe', num_experts: 4, num_experts_per_tok: 5 }, 'num_experts_per_tok is 5'],
    [{ model_type: 'qwen3_moe', num_experts: 4, num_experts_per_tok: 2, mlp_only_layers: [9] }, 'mlp_only_layers is [9]'],
    [{ model_type: 'bert' }, 'model_type is "bert"'],
  ])('refuses %o', (change, message) => {
    expect(refusal({ ...small, ...change })).toContain(message);
  });
});
