import { float32Tensor, type DecoderDescription, type Graph, type GraphNode, type HostTensor } from '@pare/core';
import { buildBlockGraph, buildLogitsGraph, countModel, relativeBlock, totalMacs, type ModelCompute } from '@pare/model';
import { evaluateNode } from '@pare/operators';
import { architectures, openFixture } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { asFactorized } from './factorized.js';

const llama7b = {
  model_type: 'llama',
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  vocab_size: 32000,
  max_position_embeddings: 2048,
  hidden_act: 'silu',
  rms_norm_eps: 1e-6,
};

function describeConfig(config: Readonly<Record<string, unknown>>): DecoderDescription {
  return architectures.find(({ modelTypes }) => modelTypes.includes(config['model_type'] as string))!.describe(config);
}

const blockMacs = (count: ModelCompute, block: number): number => count.blocks[block]!.modules.reduce((sum, { macs }) => sum + macs, count.blocks[block]!.attention);

describe('countModel', () => {
  it('gives Llama-7B the 424.02 G that LLM-Pruner (arXiv 2305.11627, table 1) reports for 64 tokens', () => {
    const count = countModel(describeConfig(llama7b), { sequenceLength: 64 });
    expect(Math.abs(totalMacs(count) / 424.02e9 - 1)).toBeLessThan(1e-3);
    // 64 times the 202,375,168 weights of a block, 2·64·64·4096 for attention, and the head.
    expect(totalMacs(count)).toBe(32 * (64 * 202_375_168 + 2 * 64 * 64 * 4096) + 64 * 4096 * 32_000);
    // Without the attention products, or with half of them, it would miss by more.
    expect(Math.abs((totalMacs(count) - 32 * 64 * 64 * 4096) / 424.02e9 - 1)).toBeGreaterThan(1e-3);
  });

  it.each([
    [{}, 100, 0],
    [{ num_key_value_heads: 8 }, 300, 0],
    [{ num_key_value_heads: 4, head_dim: 64 }, 1, 511],
  ])('agrees with the formula by hand: %j, %i tokens after %i', (change, tokens, past) => {
    const config = { ...llama7b, hidden_size: 512, intermediate_size: 1376, num_hidden_layers: 2, num_attention_heads: 16, vocab_size: 999, ...change } as typeof llama7b & {
      num_key_value_heads?: number;
      head_dim?: number;
    };
    const [d, h, f, v] = [512, 16, 1376, 999];
    const s = config.head_dim ?? d / h;
    const kv = config.num_key_value_heads ?? h;
    const block = tokens * d * h * s + 2 * tokens * d * kv * s + tokens * h * s * d + 2 * tokens * (past + tokens) * h * s + 3 * tokens * d * f;
    const count = countModel(describeConfig(config), { sequenceLength: tokens, pastLength: past });
    expect(blockMacs(count, 0)).toBe(block);
    expect(totalMacs(count)).toBe(2 * block + tokens * d * v);
  });

  it.each(['llama', 'gpt2', 'gpt_neox', 'opt', 'phi3', 'gemma2', 'qwen3_moe'] as const)('counts the multiplications that a forward pass of %s does', async (name) => {
    await using model = await openFixture(name);
    const { description } = model;
    const { hiddenSize, vocabularySize } = description;
    const length = 6;
    const count = countModel(description, { sequenceLength: length });
    for (const [index, block] of description.blocks.entries()) {
      // Routed: experts run on the tokens that chose them, whatever these are.
      const { graph, constants } = buildBlockGraph({ block: relativeBlock(block), hiddenSize, length, experts: 'routed' });
      expect(blockMacs(count, index)).toBe(multiplications(graph, Object.fromEntries(constants.map((constant) => [constant.name, constant.tensor()]))));
    }
    expect(count.head.macs).toBe(multiplications(buildLogitsGraph({ description, length, rows: vocabularySize }), {}));
    // Each module is one of the model's, once.
    const modules = count.blocks.flatMap((block) => block.modules.map(({ module }) => module));
    expect([...modules].sort()).toEqual(
      model.modules.flatMap(({ name: module, block }) => (block === undefined ? [] : [module])).sort(),
    );
  });
});

/** Runs a graph on arbitrary numbers and counts the multiplications of its matrix products as they are done. */
function multiplications(graph: Graph, given: Readonly<Record<string, HostTensor>>): number {
  let count = 0;
  const values = new Map<string, HostTensor>(Object.entries(given));
  for (const { name, shape } of graph.inputs) {
    const sizes = shape!.map((dimension) => (typeof dimension === 'number' ? dimension : 1));
    const elements = sizes.reduce((product, size) => product * size, 1);
    if (!values.has(name)) values.set(name, float32Tensor(sizes, Float32Array.from({ length: elements }, (_, index) => Math.sin(index + name.length))));
  }
  for (const [name, initializer] of graph.initializers) values.set(name, initializer as HostTensor);
  const product = (node: GraphNode, [left, right]: readonly HostTensor[]): HostTensor[] => {
    const [output] = evaluateNode(node, [left, right]);
    const [rows, inner, columns] = [left!.shape.at(-2)!, left!.shape.at(-1)!, right!.shape.at(-1)!];
    const batches = output!.data.length / Math.max(1, rows * columns);
    for (let batch = 0; batch < batches; batch++) for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) for (let k = 0; k < inner; k++) count++;
    return [output!];
  };
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => values.get(name));
    const outputs = node.operator === 'MatMul' ? product(node, inputs as HostTensor[]) : evaluateNode(node, inputs);
    node.outputs.forEach((name, index) => values.set(name, outputs[index]!));
  }
  return count;
}

describe('asFactorized', () => {
  it('counts two products where a module is factorized', async () => {
    await using model = await openFixture('llama');
    const count = countModel(model.description, { sequenceLength: 3 });
    const [{ name, shape }] = model.modules.filter(({ kind }) => kind === 'linear') as [(typeof model.modules)[number]];
    const modules = model.modules.map((info) => (info.name === name ? { ...info, form: 'factorized' as const, rank: 5 } : info));
    const before = count.blocks[0]!.modules.find(({ module }) => module === name)!.macs;
    const after = asFactorized(count, { modules });
    expect(before).toBe(3 * shape[0] * shape[1]);
    expect(after.blocks[0]!.modules.find(({ module }) => module === name)!.macs).toBeCloseTo(3 * 5 * (shape[0] + shape[1]), 9);
    expect(totalMacs(after)).toBeCloseTo(totalMacs(count) - before + 3 * 5 * (shape[0] + shape[1]), 6);
  });
});
