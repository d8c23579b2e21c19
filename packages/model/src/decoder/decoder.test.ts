import { float32Tensor, type BlockDescription, type DecoderDescription, type RotaryDescription } from '@pare/core';
import { llamaArchitecture } from '@pare/architecture-llama';
import { referenceBackend } from '@pare/backend-reference';
import { describe, expect, it } from 'vitest';
import { gramStatistic } from '../statistics/index.js';
import { windowMask, windowMaskShape } from './attention.js';
import { buildBlockGraph, buildCalibrationGraph } from './block-graph.js';
import { buildLogitsGraph, headInputs } from './head-graph.js';
import { relativeBlock } from './relative.js';
import { rotaryFrequencies } from './rotary.js';

const description: DecoderDescription = llamaArchitecture.describe({
  model_type: 'gemma2',
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 4,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 4,
  vocab_size: 10,
  sliding_window: 3,
});
const block = (index: number): BlockDescription => relativeBlock(description.blocks[index]!);

describe('relativeBlock', () => {
  it('makes blocks that compute the same equal', () => {
    expect(block(2)).toEqual(block(0));
    expect(block(1)).not.toEqual(block(0));
    expect(JSON.stringify(block(3))).toBe(JSON.stringify(block(1)));
  });
});

describe('buildBlockGraph', () => {
  const options = { block: block(0), hiddenSize: 8, length: 6, experts: 'all' } as const;

  it('names weights relative to the block and keeps the batch open', () => {
    const { graph, parameters, constants } = buildBlockGraph(options);
    expect(graph.inputs.find(({ name }) => name === 'hidden')?.shape).toEqual(['batch', 6, 8]);
    expect(graph.outputs).toEqual([{ name: 'output', dtype: 'float32', shape: ['batch', 6, 8] }]);
    expect(parameters).toContainEqual({ name: 'self_attn.q_proj.weight', module: 'self_attn.q_proj' });
    expect(parameters).toContainEqual({ name: 'post_feedforward_layernorm.weight', module: undefined });
    const named = [...parameters, ...constants].map(({ name }) => name);
    expect(graph.inputs.map(({ name }) => name).sort()).toEqual([...named, 'hidden'].sort());
  });

  it('leaves out what stands behind the last wanted input', () => {
    const wanted = (module: string): string[] =>
      buildCalibrationGraph(options, [{ module, statistics: [gramStatistic] }])
        .parameters.flatMap((parameter) => parameter.module ?? [])
        .sort();
    expect(wanted('self_attn.q_proj')).toEqual([]);
    expect(wanted('self_attn.o_proj')).toEqual(['self_attn.k_proj', 'self_attn.q_proj', 'self_attn.v_proj']);
    expect(wanted('mlp.down_proj')).not.toContain('mlp.down_proj');
  });

  it('computes each statistic of a shared input once', () => {
    const { groups, graph } = buildCalibrationGraph(
      options,
      ['self_attn.q_proj', 'self_attn.k_proj', 'mlp.up_proj'].map((module) => ({ module, statistics: [gramStatistic] })),
    );
    expect(groups.map(({ modules }) => modules)).toEqual([['self_attn.q_proj', 'self_attn.k_proj'], ['mlp.up_proj']]);
    expect(graph.outputs).toHaveLength(2);
  });
});

describe('windowMask', () => {
  it('holds the mask of every run of queries', () => {
    for (const [length, window] of [
      [5, undefined],
      [5, 2],
      [300, undefined],
      [300, 7],
      [300, 1000],
      [1100, 200],
    ] as const) {
      const [rows, width] = windowMaskShape(length, window);
      const { data, shape } = windowMask(length, window, -9);
      expect(shape).toEqual([rows, width]);
      for (let start = 0; start < length; start += rows) {
        const end = Math.min(length, start + rows);
        const first = window === undefined ? 0 : Math.max(0, start - window + 1);
        for (const query of [start, Math.floor((start + end) / 2), end - 1]) {
          for (let key = first; key < end; key++) {
            const visible = key <= query && query - key < (window ?? Infinity);
            expect(data[(rows - end + query) * width + width - end + key]).toBe(visible ? 0 : -9);
          }
        }
      }
    }
  });
});

describe('rotaryFrequencies', () => {
  const rotary = (scaling: RotaryDescription['scaling']): number[] => Array.from(rotaryFrequencies({ theta: 10000, dimensions: 8, scaling }));

  it('falls geometrically from 1', () => {
    rotary({ kind: 'none' }).forEach((frequency, pair) => {
      expect(frequency).toBeCloseTo(10 ** -pair, 7);
    });
  });

  it('scales all frequencies alike, or low ones only', () => {
    rotary({ kind: 'linear', factor: 4 }).forEach((frequency, pair) => {
      expect(frequency).toBeCloseTo(10 ** -pair / 4, 7);
    });
    const [first, second, third, fourth] = rotary({ kind: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 100 });
    // Turns over the original context: 15.9, 1.59, 0.159, 0.0159.
    const smooth = ((100 * 0.1) / (2 * Math.PI) - 1) / 3;
    expect(first).toBe(1);
    expect(second).toBeCloseTo(((1 - smooth) * 0.1) / 8 + smooth * 0.1, 7);
    expect(third).toBeCloseTo(0.01 / 8, 7);
    expect(fourth).toBeCloseTo(0.001 / 8, 7);
  });
});

describe('buildLogitsGraph', () => {
  it('adds the bias of a head that is tied all the same', async () => {
    const biased: DecoderDescription = {
      ...description,
      finalNorm: { ...description.finalNorm, weightOffset: 0, epsilon: 1e-12 },
      head: { module: 'lm_head', bias: true, tied: true, softcap: undefined },
    };
    const backend = await referenceBackend.create({}, { log: console });
    await using executable = await backend.compile(buildLogitsGraph({ description: biased, length: 1, rows: 2 }));
    using scope = backend.scope();
    const write = (shape: readonly number[], data: readonly number[]) => scope.own(backend.write(float32Tensor(shape, data)));
    const { logits } = await executable.run({
      hidden: write([1, 1, 8], [1, -1, 1, -1, 1, -1, 1, -1]),
      [headInputs.normWeight]: write([8], [2, 1, 1, 1, 1, 1, 1, 1]),
      [headInputs.weight]: write([2, 8], [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
      [headInputs.bias]: write([2], [10, 20]),
    });
    const { data } = await backend.read(scope.own(logits!));
    expect(Array.from(data, Number)).toEqual([12, 19]);
  });
});
