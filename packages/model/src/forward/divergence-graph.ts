import type { DecoderDescription, Graph, InputQuantization } from '@pare/core';
import { GraphBuilder, inlineGraph, type Value } from '@pare/graph';
import { buildLogitsGraph } from '../decoder/head-graph.js';

/** What a graph over (a slice of) two heads is generated from. */
export interface DivergenceGraphOptions {
  readonly original: DecoderDescription;
  readonly model: DecoderDescription;
  readonly length: number;
  /** Rows of the vocabulary that the graph has. */
  readonly rows: number;
  /** How either head rounds its inputs, if it does. */
  readonly grids?: Readonly<Record<(typeof divergenceSides)[number], InputQuantization | undefined>> | undefined;
}

/** The two sides, which prefix the names of their inputs (those of the logits graph) and outputs. */
export const divergenceSides = ['original', 'model'] as const;

/**
 * Statistics of one slice of the vocabulary under two heads. With z and y the logits of the original and the model for rows `start` … `start + rows − 1`,
 * p = softmax z and q = softmax y within the slice:
 *
 *   divergence = Σ p (ln p − ln q)                                   [batch, length, 1]
 *   <side>.total = ln Σ exp of the side's logits                     [batch, length, 1]
 *   <side>.top, <side>.peak: place (int64) and value of the largest  [batch, length, 1]
 *   <side>.target: logit of `target`, where the slice has it         [batch, length, 1]
 *
 * `target` is int64 [batch, length, 1], `start` int64 []. Slices are put together on the host, in double precision.
 */
export function buildDivergenceGraph({ original, model, length, rows, grids }: DivergenceGraphOptions): Graph {
  const builder = new GraphBuilder('divergence');
  const target = builder.input('target', 'int64', ['batch', length, 1]);
  const place = builder.sub(target, builder.input('start', 'int64', []));
  const index = builder.where(builder.and(builder.greaterOrEqual(place, 0), builder.less(place, rows)), place, 0);
  const at = (values: Value, places: Value): Value => builder.op('GatherElements', [values, places], { axis: 2 });

  /** Adds a side's head and outputs; returns the logarithms of its probabilities. */
  const addSide = (side: (typeof divergenceSides)[number], description: DecoderDescription): Value => {
    const head = buildLogitsGraph({ description, length, rows, input: grids?.[side] });
    const inputs = Object.fromEntries(head.inputs.map(({ name, dtype, shape }) => [name, builder.input(`${side}.${name}`, dtype, shape!)]));
    const logits = inlineGraph(builder, head, inputs, { prefix: `${side}.` })['logits']!;
    const logarithms = builder.op('LogSoftmax', [logits], { axis: -1 });
    const top = builder.op('ArgMax', [logits], { axis: -1, keepdims: 1 });
    const peak = at(logits, top);
    builder.output(builder.sub(peak, at(logarithms, top)), `${side}.total`);
    builder.output(peak, `${side}.peak`);
    builder.output(top, `${side}.top`);
    builder.output(at(logits, index), `${side}.target`);
    return logarithms;
  };

  const p = addSide('original', original);
  const q = addSide('model', model);
  builder.output(builder.reduceSum(builder.mul(builder.exp(p), builder.sub(p, q)), [2], true), 'divergence');
  return builder.build();
}
