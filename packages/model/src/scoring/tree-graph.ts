import type { AttentionDescription, Graph } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import { maskedMixer } from '../decoder/attention.js';
import { finishGraph, ForwardScope, type BlockGraph, type BlockGraphOptions } from '../decoder/block-graph.js';
import { addBlock } from '../decoder/block.js';
import { addLogits, type HeadGraphOptions } from '../decoder/head-graph.js';
import { computedAngles } from '../decoder/rotary.js';

/**
 * A block over rows that hold trees (`TreeRow`). Besides `hidden` [rows, length, hiddenSize] and the weights it takes `positions` and `branches`, int64 [rows, length]; padding
 * at the end of a row has branch −1.
 * @param length of the rows, or undefined for a graph of any length, which computes the scores of whole rows at once
 */
export function buildTreeGraph({ block, hiddenSize, experts, inputs }: Omit<BlockGraphOptions, 'length'>, length: number | undefined): BlockGraph {
  const scope = new ForwardScope(new GraphBuilder('tree'), inputs);
  const { builder } = scope;
  const { attention } = block;
  const size = length ?? 'length';
  const hidden = builder.input('hidden', 'float32', ['rows', size, hiddenSize]);
  const positions = builder.input('positions', 'int64', ['rows', size]);
  const branches = builder.input('branches', 'int64', ['rows', size]);
  const mix = maskedMixer(scope, attention, length, (start, end) => treeMask(scope, positions, branches, attention, start, end));
  const angles = attention.rotary === undefined ? undefined : computedAngles(scope, attention.rotary, positions);
  builder.output(addBlock(scope, block, hidden, { hiddenSize, angles, mix, experts }), 'output');
  return finishGraph(scope);
}

/** 0 where key k is of the common part or of the query's branch and 0 ≤ position(q) − position(k) < window. */
function treeMask(
  { builder, maskedScore }: ForwardScope,
  positions: Value,
  branches: Value,
  { slidingWindow }: AttentionDescription,
  start: number,
  end: number | undefined,
): Value {
  const part = (values: Value, from: number): Value => (end === undefined ? values : builder.slice(values, 1, from, end));
  const [queryPosition, queryBranch] = [positions, branches].map((values) => builder.unsqueeze(part(values, start), [1, 2, 4]));
  const [keyPosition, keyBranch] = [positions, branches].map((values) => builder.unsqueeze(part(values, 0), [1, 2, 3]));
  const related = builder.or(builder.equal(keyBranch!, 0), builder.equal(keyBranch!, queryBranch!));
  const earlier = builder.lessOrEqual(keyPosition!, queryPosition!);
  const near = slidingWindow === undefined ? earlier : builder.and(earlier, builder.greater(keyPosition!, builder.sub(queryPosition!, slidingWindow)));
  return builder.where(builder.and(related, near), builder.scalar(0), builder.scalar(maskedScore));
}

/**
 * One slice of the vocabulary in a streamed log-softmax over chosen states, several tokens to a state. `hidden` [rows, length, hiddenSize]; `places` int64 [states] index it
 * flattened; `owner` int64 [targets] is the state of each target, `target` its token. Otherwise as `buildLikelihoodGraph`: totals [states, 1], targets [targets].
 */
export function buildPickGraph({ description, rows, input }: Omit<HeadGraphOptions, 'length'>): Graph {
  const builder = new GraphBuilder('pick');
  const hidden = builder.input('hidden', 'float32', ['rows', 'length', description.hiddenSize]);
  const places = builder.input('places', 'int64', ['states']);
  const owner = builder.input('owner', 'int64', ['targets']);
  const target = builder.input('target', 'int64', ['targets']);
  const start = builder.input('start', 'int64', []);
  const total = builder.input('state.total', 'float32', ['states', 1]);
  const picked = builder.input('state.target', 'float32', ['targets']);

  const states = builder.gather(builder.reshape(hidden, [-1, description.hiddenSize]), places, 0);
  const logits = addLogits(builder, { description, rows, input }, states);
  const first = (values: Value): Value => builder.slice(values, 1, 0, 1);
  const sliceTotal = builder.sub(first(logits), first(builder.op('LogSoftmax', [logits], { axis: -1 })));
  const larger = builder.op('Max', [total, sliceTotal]);
  const sum = builder.add(builder.exp(builder.sub(total, larger)), builder.exp(builder.sub(sliceTotal, larger)));
  builder.output(builder.add(larger, builder.log(sum)), 'next.total');

  const place = builder.sub(target, start);
  const inside = builder.and(builder.greaterOrEqual(place, 0), builder.less(place, rows));
  const index = builder.add(builder.mul(owner, rows), builder.where(inside, place, 0));
  builder.output(builder.where(inside, builder.gather(builder.reshape(logits, [-1]), index, 0), picked), 'next.target');
  return builder.build();
}
