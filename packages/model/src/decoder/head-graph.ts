import type { DecoderDescription, Graph, InputQuantization, LinearDescription } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import { InputRounding, staticInputConstants } from '@pare/weights';
import { addHead, headLayer } from './head.js';
import { denseLinear, type DecoderScope } from './scope.js';

/** What a graph over (a slice of) the head is generated from. */
export interface HeadGraphOptions {
  readonly description: DecoderDescription;
  readonly length: number;
  /** Rows of the vocabulary that the graph has. */
  readonly rows: number;
  /** How the head rounds its inputs, if it does. */
  readonly input?: InputQuantization | undefined;
}

/** Names of the head graphs' weight inputs: final norm, head matrix [rows, hidden], head bias [rows]. Unused ones are absent from a graph. */
export const headInputs = { normWeight: 'norm.weight', normBias: 'norm.bias', weight: 'head.weight', bias: 'head.bias' } as const;

function headScope(builder: GraphBuilder, { description, input }: Pick<HeadGraphOptions, 'description' | 'input'>): DecoderScope {
  const round = (x: Value): Value => (input === undefined ? x : new InputRounding(builder).round(x, input, staticInputConstants(builder, input)));
  const names: Readonly<Record<string, string>> = {
    [`${description.finalNorm.module}.weight`]: headInputs.normWeight,
    [`${description.finalNorm.module}.bias`]: headInputs.normBias,
    [`${description.head.module}.bias`]: headInputs.bias,
  };
  return {
    builder,
    dtype: 'float32',
    maskedScore: -1e30,
    parameter: (name, shape) => builder.input(names[name]!, 'float32', shape),
    linear: (x: Value, layer: LinearDescription) => denseLinear(builder, round(x), builder.input(headInputs.weight, 'float32', [layer.outFeatures, layer.inFeatures]), undefined),
  };
}

/** Logits of hidden states [..., hiddenSize] for `rows` rows of the vocabulary. */
export function addLogits(builder: GraphBuilder, { description, rows, input }: Omit<HeadGraphOptions, 'length'>, hidden: Value): Value {
  return addHead(headScope(builder, { description, input }), description, hidden, { ...headLayer(description), outFeatures: rows });
}

function hiddenInput(builder: GraphBuilder, { description, length }: HeadGraphOptions): Value {
  return builder.input('hidden', 'float32', ['batch', length, description.hiddenSize]);
}

/** `hidden` [batch, length, hiddenSize] → `logits` [batch, length, rows]. */
export function buildLogitsGraph(options: HeadGraphOptions): Graph {
  const builder = new GraphBuilder('head');
  builder.output(addLogits(builder, options, hiddenInput(builder, options)), 'logits');
  return builder.build();
}

/**
 * One slice of the vocabulary in a streamed log-softmax. With z the logits of rows `start` … `start + rows − 1`:
 *
 *   next.total  = log(exp(state.total) + Σ exp z)            [batch, length, 1]
 *   next.target = z[target − start] where the slice has it,  [batch, length, 1]
 *                 else state.target
 *
 * After all slices −log p(target) = total − target. `target` is int64 [batch, length, 1], `start` int64 []; totals start at a large negative number.
 */
export function buildLikelihoodGraph(options: HeadGraphOptions): Graph {
  const { length, rows } = options;
  const builder = new GraphBuilder('likelihood');
  const logits = addLogits(builder, options, hiddenInput(builder, options));
  const target = builder.input('target', 'int64', ['batch', length, 1]);
  const start = builder.input('start', 'int64', []);
  const total = builder.input('state.total', 'float32', ['batch', length, 1]);
  const picked = builder.input('state.target', 'float32', ['batch', length, 1]);

  // LogSoftmax is one fast kernel where Sub, Exp and ReduceSum would be three passes: any logit minus its logarithmic probability is log Σ exp z.
  const first = (values: Value): Value => builder.slice(values, 2, 0, 1);
  const sliceTotal = builder.sub(first(logits), first(builder.op('LogSoftmax', [logits], { axis: -1 })));
  const larger = builder.op('Max', [total, sliceTotal]);
  const sum = builder.add(builder.exp(builder.sub(total, larger)), builder.exp(builder.sub(sliceTotal, larger)));
  builder.output(builder.add(larger, builder.log(sum)), 'next.total');

  const place = builder.sub(target, start);
  const inside = builder.and(builder.greaterOrEqual(place, 0), builder.less(place, rows));
  const index = builder.where(inside, place, 0);
  builder.output(builder.where(inside, builder.op('GatherElements', [logits, index], { axis: 2 }), picked), 'next.target');
  return builder.build();
}
