import type { Value } from '@pare/graph';
import type { BackendCase } from '../backend-case.js';
import { given, propertyCase, values, type CaseBuilder } from './property-case.js';

const heads = 4;
const kvHeads = 2;
const size = 16;
const domain = 'com.microsoft';

/** cos and sin of 32 positions for `dimensions` rotated features. */
function angles({ graph }: CaseBuilder, dimensions = size): [Value, Value] {
  const half = dimensions / 2;
  const angle = Array.from({ length: 32 * half }, (_, index) => Math.floor(index / half) * 0.3 ** (index % half));
  return [graph.constant(given('float32', [32, half], angle.map(Math.cos))), graph.constant(given('float32', [32, half], angle.map(Math.sin)))];
}

interface GroupQuery {
  readonly name: string;
  readonly length: number;
  readonly past: number;
  /** Length of each row with the new tokens, when rows differ. */
  readonly lengths?: readonly [number, number];
  /** Adds a bias to the scores. */
  readonly bias?: boolean;
  readonly attributes?: Readonly<Record<string, number>>;
  readonly packed?: boolean;
}

const groupQueryCase = ({
  name,
  length,
  past,
  lengths = [past + length, past + length],
  bias = false,
  attributes = {},
  packed = false,
}: GroupQuery): BackendCase =>
  propertyCase(`GroupQueryAttention_${name}`, `com.microsoft GroupQueryAttention, ${name.replaceAll('_', ' ')}`, (builder) => {
    const { graph, feed, expect } = builder;
    const total = past + length;
    const query = feed(values([2, length, (packed ? heads + 2 * kvHeads : heads) * size]));
    const side = (seed: number) => (packed ? undefined : feed(values([2, length, kvHeads * size], -2, 2, 'float32', seed)));
    const cache = (seed: number) => feed(values([2, kvHeads, past, size], -2, 2, 'float32', seed));
    const rotary = attributes['do_rotary'] === 1 ? angles(builder) : [undefined, undefined];
    const scores = bias ? feed(values([1, heads, length, total], -2, 2, 'float32', 6)) : undefined;
    const ends = lengths.map((end) => end - 1);
    const outputs = graph.node(
      'GroupQueryAttention',
      [query, side(2), side(3), cache(4), cache(5), feed(given('int32', [2], ends)), graph.constant(given('int32', [], [total])), ...rotary, undefined, scores],
      { num_heads: heads, kv_num_heads: kvHeads, ...attributes },
      { domain, outputs: 3 },
    );
    outputs.forEach((output, index) => {
      // What lies behind the end of a shorter row in the cache is nobody's business.
      if (index === 0 || lengths[0] === lengths[1]) expect(['output', 'present keys', 'present values'][index]!, output);
    });
  });

/** Cases of com.microsoft's attention operators, as exported decoders use them. */
export const attentionCases: readonly BackendCase[] = [
  groupQueryCase({ name: 'prompt', length: 6, past: 0 }),
  groupQueryCase({ name: 'prompt_with_rotary', length: 6, past: 0, attributes: { do_rotary: 1 } }),
  groupQueryCase({ name: 'step', length: 1, past: 5 }),
  groupQueryCase({ name: 'step_with_rotary', length: 1, past: 5, attributes: { do_rotary: 1, rotary_interleaved: 1 } }),
  groupQueryCase({ name: 'packed_with_rotary', length: 1, past: 3, attributes: { do_rotary: 1 }, packed: true }),
  groupQueryCase({ name: 'local_window', length: 7, past: 0, attributes: { local_window_size: 3 } }),
  groupQueryCase({ name: 'softcap_and_scale', length: 5, past: 0, attributes: { softcap: 1.5, scale: 0.5 } }),
  groupQueryCase({ name: 'step_of_rows_of_different_lengths', length: 1, past: 5, lengths: [6, 3], attributes: { do_rotary: 1 } }),
  groupQueryCase({ name: 'window_in_the_cache', length: 1, past: 9, attributes: { local_window_size: 4 } }),
  groupQueryCase({ name: 'attention_bias', length: 3, past: 0, bias: true }),
  groupQueryCase({ name: 'smooth_softmax', length: 4, past: 0, attributes: { smooth_softmax: 1 } }),
  propertyCase('RotaryEmbedding', 'com.microsoft RotaryEmbedding of both layouts, whole and partial', (builder) => {
    const { graph, feed, expect } = builder;
    const ids = feed(given('int64', [2, 3], [4, 5, 6, 0, 1, 2]));
    for (const interleaved of [0, 1]) {
      expect(
        `side by side, interleaved ${String(interleaved)}`,
        graph.op('RotaryEmbedding', [feed(values([2, 3, heads * size])), ids, ...angles(builder)], { interleaved }, { domain }),
      );
    }
    expect('by heads', graph.op('RotaryEmbedding', [feed(values([2, heads, 3, size])), ids, ...angles(builder)], {}, { domain }));
    const attributes = { rotary_embedding_dim: 4, num_heads: heads };
    expect('partial', graph.op('RotaryEmbedding', [feed(values([2, 3, heads * size])), ids, ...angles(builder, 4)], attributes, { domain }));
    expect(
      'from an offset',
      graph.op('RotaryEmbedding', [feed(values([2, 3, heads * size])), feed(given('int64', [1], [7])), ...angles(builder)], {}, { domain }),
    );
  }),
  propertyCase('MultiHeadAttention', 'com.microsoft MultiHeadAttention, plain, biased, causal and with a cache', ({ graph, feed, expect }) => {
    const hidden = heads * size;
    const part = (seed: number, length = 5) => feed(values([2, length, hidden], -2, 2, 'float32', seed));
    const attend = (inputs: readonly (Value | undefined)[], attributes = {}) =>
      graph.op('MultiHeadAttention', inputs, { num_heads: heads, ...attributes }, { domain });
    expect('plain', attend([part(1), part(2, 7), part(3, 7)]));
    expect('with bias', attend([part(1), part(2), part(3), feed(values([3 * hidden]))]));
    expect('causal', attend([part(1), part(2), part(3)], { unidirectional: 1 }));
    const mask = feed(given('int32', [2, 5], [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]));
    expect('masked', attend([part(1), part(2), part(3), undefined, mask]));
    const [step, keys, vals] = graph.node(
      'MultiHeadAttention',
      [
        part(1, 1),
        part(2, 1),
        part(3, 1),
        undefined,
        undefined,
        undefined,
        feed(values([2, heads, 6, size])),
        feed(values([2, heads, 6, size], -2, 2, 'float32', 9)),
      ],
      { num_heads: heads },
      { domain, outputs: 3 },
    );
    expect('step', step!);
    expect('present keys', keys!);
    expect('present values', vals!);
    expect('with scores added', attend([part(1), part(2), part(3), undefined, undefined, feed(values([1, heads, 5, 5]))]));
  }),
];
