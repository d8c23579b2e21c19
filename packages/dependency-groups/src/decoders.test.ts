import type { DecoderDescription } from '@pare/core';
import { buildDecoderGraph } from '@pare/model';
import { architectures, fixtureNames, openFixture, type FixtureName } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { describeGroup, traceGroups, type DependencyGraph, type DependencyGroup } from './index.js';

async function withFixture(name: FixtureName, work: (groups: DependencyGraph, description: DecoderDescription) => void): Promise<void> {
  await using model = await openFixture(name);
  work(traceGroups(buildDecoderGraph(model.description)), model.description);
}

const edits = ({ slices }: DependencyGroup): string[] =>
  slices.map(({ tensor, axis, runs }) => `${tensor} ${String(axis)}: ${runs.map(({ start, length }) => `${String(start)}+${String(length)}`).join(' ')}`);

describe('groups of decoders', () => {
  it('neuron of a gated MLP', () =>
    withFixture('llama', (groups) => {
      expect(describeGroup(groups.groupOf('model.layers.1.mlp.down_proj.weight', 1, 12), 'neuron 12 of block 1’s MLP')).toBe(
        `removing neuron 12 of block 1’s MLP edits 3 tensors:
  model.layers.1.mlp.gate_proj.weight  axis 0, index 12
  model.layers.1.mlp.up_proj.weight    axis 0, index 12
  model.layers.1.mlp.down_proj.weight  axis 1, index 12`,
      );
    }));

  it('neuron of a fused gated MLP, of a plain one with biases, and of one expert', async () => {
    await withFixture('phi3', (groups) => {
      expect(edits(groups.groupOf('model.layers.0.mlp.gate_up_proj.weight', 0, 130))).toEqual(['model.layers.0.mlp.gate_up_proj.weight 0: 2+1 130+1', 'model.layers.0.mlp.down_proj.weight 1: 2+1']);
    });
    await withFixture('gpt2', (groups) => {
      expect(edits(groups.groupOf('transformer.h.0.mlp.c_fc.weight', 0, 9))).toEqual(['transformer.h.0.mlp.c_fc.weight 0: 9+1', 'transformer.h.0.mlp.c_fc.bias 0: 9+1', 'transformer.h.0.mlp.c_proj.weight 1: 9+1']);
    });
    await withFixture('qwen3_moe', (groups) => {
      const expert = 'model.layers.0.mlp.experts.2';
      expect(edits(groups.groupOf(`${expert}.up_proj.weight`, 0, 5))).toEqual(['gate_proj.weight 0: 5+1', 'up_proj.weight 0: 5+1', 'down_proj.weight 1: 5+1'].map((text) => `${expert}.${text}`));
    });
  });

  it('a key-value head with all of its query heads', () =>
    withFixture('llama', (groups) => {
      const name = 'model.layers.0.self_attn';
      // 4 query heads and 2 key-value heads of 16.
      const expected = [`${name}.q_proj.weight 0: 32+32`, `${name}.k_proj.weight 0: 16+16`, `${name}.v_proj.weight 0: 16+16`, `${name}.o_proj.weight 1: 32+32`];
      for (const [projection, axis, index] of [['q_proj', 0, 63], ['k_proj', 0, 16], ['v_proj', 0, 31], ['o_proj', 1, 40]] as const) {
        expect(edits(groups.groupOf(`${name}.${projection}.weight`, axis, index))).toEqual(expected);
      }
    }));

  it('heads of fused matrices, concatenated and interleaved', async () => {
    await withFixture('gpt2', (groups) => {
      const name = 'transformer.h.1.attn';
      expect(edits(groups.groupOf(`${name}.c_proj.weight`, 1, 20))).toEqual([`${name}.c_attn.weight 0: 16+16 80+16 144+16`, `${name}.c_attn.bias 0: 16+16 80+16 144+16`, `${name}.c_proj.weight 1: 16+16`]);
    });
    await withFixture('phi3', (groups) => {
      const name = 'model.layers.1.self_attn';
      const group = edits(groups.groupOf(`${name}.o_proj.weight`, 1, 0));
      expect(group[0]).toMatch(/^model\.layers\.1\.self_attn\.qkv_proj\.weight 0: 0\+\d+ 64\+16 /);
      expect(group).toHaveLength(2);
    });
    await withFixture('gpt_neox', (groups) => {
      const name = 'gpt_neox.layers.0.attention';
      expect(edits(groups.groupOf(`${name}.dense.weight`, 1, 20))).toEqual([`${name}.query_key_value.weight 0: 48+48`, `${name}.query_key_value.bias 0: 48+48`, `${name}.dense.weight 1: 16+16`]);
    });
  });

  it.each(fixtureNames)('%s: a hidden channel goes from every block, embedding, head and norm', (name) =>
    withFixture(name, (groups, { embedding, hiddenSize, finalNorm, head, blocks }) => {
      const group = groups.groupOf(`${embedding.module}.weight`, 1, 3);
      const tensors = new Set(group.slices.map(({ tensor }) => tensor));
      const module = (text: string): string => `${text}.weight`;
      for (const { attention, attentionNorm, mlpNorm, mlp } of blocks) {
        expect([...tensors]).toEqual(expect.arrayContaining([module(attentionNorm.module), module(mlpNorm.module), module(attention.output.module), module(mlp.kind === 'moe' ? mlp.router.module : mlp.down.module)]));
      }
      expect(tensors.has(module(finalNorm.module))).toBe(true);
      expect(tensors.has(module(head.tied ? embedding.module : head.module))).toBe(true);
      expect(group.slices.every(({ runs }) => runs.length === 1 && runs[0]!.start === 3 && runs[0]!.length === 1)).toBe(true);
      // One statistic for every norm over channels, and no other.
      const norms = 1 + blocks.reduce((sum, block) => sum + 2 + (block.postAttentionNorm === undefined ? 0 : 2), 0);
      expect(group.statistics).toHaveLength(norms);
      expect(groups.axes.find(({ id }) => id === group.units[0]!.axis.id)?.size).toBe(hiddenSize);
    }),
  );

  it.each(fixtureNames)('%s: the vocabulary cannot be pruned', (name) =>
    withFixture(name, (groups, { embedding, head }) => {
      expect(() => groups.groupOf(`${embedding.module}.weight`, 0, 7)).toThrow(expect.objectContaining({ code: 'PARE_SLICE_FIXED' }) as Error);
      expect(() => groups.groupOf(`${head.tied ? embedding.module : head.module}.weight`, 0, 7)).toThrow(/output "logits"/);
    }),
  );

  it('traces 32 blocks of Llama-7B and has a group for every neuron, head and channel', () => {
    const config = { model_type: 'llama', hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: 32, num_attention_heads: 32, vocab_size: 32000, max_position_embeddings: 2048, hidden_act: 'silu', rms_norm_eps: 1e-6 };
    const description = architectures.find(({ modelTypes }) => modelTypes.includes('llama'))!.describe(config);
    const groups = traceGroups(buildDecoderGraph(description));
    const sizes = groups.axes.filter(({ fixed }) => fixed.length === 0).map(({ size }) => size);
    expect(sizes.filter((size) => size === 11008)).toHaveLength(32);
    expect(sizes.filter((size) => size === 32)).toHaveLength(32);
    expect(sizes.filter((size) => size === 4096)).toHaveLength(1);
    // One neuron is three vectors of the hidden size (LLM-Pruner, arXiv 2305.11627).
    expect(edits(groups.groupOf('model.layers.31.mlp.down_proj.weight', 1, 11007))).toHaveLength(3);
  });
});
