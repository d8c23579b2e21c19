import { createRandom, float32Tensor, type BlockDescription, type HostTensor, type Model } from '@pare/core';
import { buildBlockGraph, relativeBlock } from '@pare/model';
import { evaluateGraph } from '@pare/operators';
import { fixtureNames, openFixture, type FixtureName } from '@pare/testkit';
import { denseFloat32 } from '@pare/weights';
import { describe, expect, it } from 'vitest';
import { describeFoldSites, findFoldSites, foldChanges, type FoldSite } from './index.js';

const length = 6;

/** A block's weights by stored name: matrices [out, in], all float32. */
type Weights = Map<string, HostTensor & { readonly data: Float32Array }>;

async function readWeights(model: Model, block: BlockDescription): Promise<Weights> {
  const { parameters } = buildBlockGraph({ block: relativeBlock(block), hiddenSize: model.description.hiddenSize, length, experts: 'all' });
  const weights: Weights = new Map();
  for (const { name, module } of parameters) {
    const stored = `${block.name}.${name}`;
    if (module !== undefined) weights.set(stored, await model.denseWeight(`${block.name}.${module}`));
    else {
      const tensor = await model.tensor(stored);
      weights.set(stored, float32Tensor(tensor.shape, denseFloat32({ form: 'dense', shape: tensor.shape, tensor })));
    }
  }
  return weights;
}

/** The block's output on random hidden states, by the scalar operators. */
function runBlock(model: Model, block: BlockDescription, weights: Weights): Float32Array {
  const { hiddenSize } = model.description;
  const { graph, parameters, constants } = buildBlockGraph({ block: relativeBlock(block), hiddenSize, length, experts: 'all' });
  const random = createRandom(7);
  const inputs: Record<string, HostTensor> = { hidden: float32Tensor([1, length, hiddenSize], Float32Array.from({ length: length * hiddenSize }, () => 2 * random() - 1)) };
  for (const { name } of parameters) inputs[name] = weights.get(`${block.name}.${name}`)!;
  for (const { name, tensor } of constants) inputs[name] = tensor();
  return evaluateGraph(graph, inputs)['output']!.data as Float32Array;
}

function randomScales({ channels, shared }: FoldSite, random: () => number): Float32Array {
  const scales = Float32Array.from({ length: channels }, () => 4 ** (2 * random() - 1));
  return shared === undefined ? scales : scales.map((_, channel) => scales[shared[channel]!]!);
}

/** Folds scales of every site into copies of the weights. */
function fold(weights: Weights, sites: readonly FoldSite[], seed = 3): Weights {
  const random = createRandom(seed);
  const folded: Weights = new Map([...weights].map(([name, tensor]) => [name, float32Tensor(tensor.shape, tensor.data.slice())]));
  for (const site of sites) for (const { tensor, apply } of foldChanges(site, randomScales(site, random))) apply(folded.get(tensor)!.data);
  return folded;
}

function relativeDifference(a: Float32Array, b: Float32Array): number {
  let [difference, whole] = [0, 0];
  for (const [index, value] of a.entries()) {
    difference += (value - b[index]!) ** 2;
    whole += value ** 2;
  }
  return Math.sqrt(difference / whole);
}

const norms: Readonly<Record<'llama' | 'gpt2' | 'neox' | 'opt', readonly string[]>> = {
  llama: ['self_attn.q_proj, self_attn.k_proj, self_attn.v_proj ← input_layernorm.weight', 'mlp.gate_proj, mlp.up_proj ← post_attention_layernorm.weight', 'mlp.down_proj ← mlp.up_proj'],
  gpt2: ['attn.c_attn ← ln_1.weight, ln_1.bias', 'attn.c_proj ← attn.c_attn rows 128–191, attn.c_attn.bias', 'mlp.c_fc ← ln_2.weight, ln_2.bias'],
  neox: [
    'attention.query_key_value ← input_layernorm.weight, input_layernorm.bias',
    'attention.dense ← attention.query_key_value rows 32–47, 80–95, 128–143, 176–191, attention.query_key_value.bias',
    'mlp.dense_h_to_4h ← post_attention_layernorm.weight, post_attention_layernorm.bias',
  ],
  opt: [
    'self_attn.q_proj, self_attn.k_proj, self_attn.v_proj ← self_attn_layer_norm.weight, self_attn_layer_norm.bias',
    'self_attn.out_proj ← self_attn.v_proj, self_attn.v_proj.bias',
    'fc1 ← final_layer_norm.weight, final_layer_norm.bias',
    'fc2 ← fc1, fc1.bias',
  ],
};
const grouped = 'self_attn.o_proj: skipped, 2 channels read one channel of its source (grouped-query attention), so that their scales would have to agree';
const gelu = 'skipped, Gelu of a scaled value is not the scaled Gelu';

const expected: Readonly<Record<FixtureName, readonly string[]>> = {
  gemma2: [norms.llama[0]!, 'mlp.gate_proj, mlp.up_proj ← pre_feedforward_layernorm.weight', norms.llama[2]!, grouped],
  gpt2: [...norms.gpt2, `mlp.c_proj: ${gelu}`],
  gpt_neox: [...norms.neox, `mlp.dense_4h_to_h: ${gelu}`],
  llama: [...norms.llama, grouped],
  'llama-tied-rope-scaled': [...norms.llama, grouped],
  mistral: [...norms.llama, grouped],
  opt: norms.opt,
  phi3: ['self_attn.qkv_proj ← input_layernorm.weight', 'mlp.gate_up_proj ← post_attention_layernorm.weight', 'mlp.down_proj ← mlp.gate_up_proj rows 128–255', grouped],
  qwen2: [...norms.llama, grouped],
  qwen3: [...norms.llama, grouped],
  qwen3_moe: [
    norms.llama[0]!,
    'mlp.gate, mlp.experts.0.gate_proj, mlp.experts.0.up_proj, … mlp.experts.3.up_proj (9) ← post_attention_layernorm.weight',
    ...[0, 1, 2, 3].map((expert) => `mlp.experts.${String(expert)}.down_proj ← mlp.experts.${String(expert)}.up_proj`),
    grouped,
  ],
};

describe.each(fixtureNames)('folding in %s', (name) => {
  it('finds what can be folded and says what not', async () => {
    await using model = await openFixture(name);
    const found = describeFoldSites(findFoldSites(model.description, 0), model.description.blocks[0]!.name);
    expect(found.split('\n')).toEqual(expected[name]);
  });

  it.each([false, true])('leaves the block as it is for any scales (shared scales: %s)', async (shared) => {
    await using model = await openFixture(name);
    for (const [index, block] of model.description.blocks.entries()) {
      const { sites, skipped } = findFoldSites(model.description, index, { shared });
      if (shared) expect(skipped.map(({ reason }) => reason).join()).not.toMatch(/grouped/);
      const weights = await readWeights(model, block);
      const before = runBlock(model, block, weights);
      expect(relativeDifference(before, runBlock(model, block, fold(weights, sites)))).toBeLessThan(1e-5);
      // Site by site, so that two mistakes cannot hide each other; and every site matters.
      for (const site of sites) {
        expect(relativeDifference(before, runBlock(model, block, fold(weights, [site])))).toBeLessThan(1e-5);
        const half = fold(weights, [site]);
        for (const { tensor, source } of foldChanges(site, new Float32Array(site.channels).fill(1))) if (source) half.set(tensor, weights.get(tensor)!);
        expect(relativeDifference(before, runBlock(model, block, half))).toBeGreaterThan(1e-5);
      }
    }
  });
});

describe('a value that cannot be rescaled', () => {
  it('is said to be so when a nonlinear operator reads it too', async () => {
    await using model = await openFixture('opt');
    const [block] = model.description.blocks;
    const silu = { ...block!, mlp: { ...block!.mlp, activation: 'silu' as const } } as BlockDescription;
    const { skipped } = findFoldSites({ hiddenSize: model.description.hiddenSize, blocks: [silu] }, 0);
    expect(skipped).toEqual([{ modules: ['model.decoder.layers.0.fc2'], reason: 'Sigmoid of a scaled value is not the scaled Sigmoid' }]);
  });

  it('takes the factor of a gate that is nearest to its weights', async () => {
    await using model = await openFixture('llama');
    const [block] = model.description.blocks;
    const relu = { ...block!, mlp: { ...block!.mlp, activation: 'relu' as const } } as BlockDescription;
    const { sites } = findFoldSites({ hiddenSize: model.description.hiddenSize, blocks: [relu] }, 0);
    expect(describeFoldSites({ sites, skipped: [] }, block!.name)).toContain('mlp.down_proj ← mlp.up_proj');
  });

  it('joins modules of both halves behind one norm', async () => {
    await using model = await openFixture('gpt_neox');
    const [block] = model.description.blocks;
    const falcon: BlockDescription = { ...block!, mlpNorm: block!.attentionNorm };
    const { sites } = findFoldSites({ hiddenSize: model.description.hiddenSize, blocks: [falcon] }, 0);
    const norm = sites.filter(({ sources }) => sources.some((source) => source.kind === 'vector' && source.tensor.includes('layernorm')));
    expect(norm.map(({ consumers }) => consumers.map(({ module }) => module.replace(/.*\./, '')))).toEqual([['query_key_value', 'dense_h_to_4h']]);
  });

  it('refuses scales that are none', async () => {
    await using model = await openFixture('llama');
    const site = findFoldSites(model.description, 0, { shared: true }).sites.find(({ shared }) => shared !== undefined)!;
    const scales = new Float32Array(site.channels).fill(1);
    expect(() => foldChanges(site, scales.subarray(1))).toThrow(/63 scales for 64 channels/);
    expect(() => foldChanges(site, scales.map((_, channel) => (channel === 3 ? 0 : 1)))).toThrow(/scale 0 of channel 3/);
    expect(() => foldChanges(site, scales.map((_, channel) => (channel === 0 ? 2 : 1)))).toThrow(/channels 0 and 16 share a scale/);
  });
});
