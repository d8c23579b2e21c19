import type { BlockDescription, BlockHalf } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import { addAttention, windowMixer } from './attention.js';
import { finishGraph, forward, ForwardScope, type BlockGraph, type BlockGraphOptions } from './block-graph.js';
import { addMlp } from './mlp.js';
import { constantAngles } from './rotary.js';

/** From `hidden` [batch, length, hiddenSize] to what a half of the block reads, its normed input, `output` of the same shape. */
export function buildHalfInputGraph(options: BlockGraphOptions, half: BlockHalf): BlockGraph {
  const scope = new ForwardScope(new GraphBuilder(`${half}-input`), options.inputs);
  forward(scope, options);
  const { x } = scope.captures.get(firstModule(options.block, half))!;
  scope.builder.output(scope.builder.reshape(x, [-1, options.length, options.hiddenSize]), 'output');
  return finishGraph(scope);
}

/** A half of the block, from its normed input `half_input` [batch, length, hiddenSize] to `output` of the same shape. */
export function buildHalfGraph(options: BlockGraphOptions, half: BlockHalf): BlockGraph {
  const scope = new ForwardScope(new GraphBuilder(half), options.inputs);
  scope.builder.output(addHalf(scope, options, half), 'output');
  return finishGraph(scope);
}

/** The squared distance of a half's outputs to `expected` [batch, length, hiddenSize]: `distance` [batch, length]. */
export function buildHalfDistanceGraph(options: BlockGraphOptions, half: BlockHalf): BlockGraph {
  const scope = new ForwardScope(new GraphBuilder(`${half}-distance`), options.inputs);
  const { builder } = scope;
  const difference = builder.sub(addHalf(scope, options, half), builder.input('expected', 'float32', ['batch', options.length, options.hiddenSize]));
  builder.output(builder.reduceSum(builder.mul(difference, difference), [-1], false), 'distance');
  return finishGraph(scope);
}

function addHalf(scope: ForwardScope, { block, hiddenSize, length, experts }: BlockGraphOptions, half: BlockHalf): Value {
  const x = scope.builder.input('half_input', 'float32', ['batch', length, hiddenSize]);
  if (half === 'mlp') return addMlp(scope, block.mlp, x, experts);
  const { attention } = block;
  const angles = attention.rotary === undefined ? undefined : constantAngles(scope, attention.rotary, length);
  return addAttention(scope, attention, x, angles, windowMixer(scope, attention, length, scope.windowMask(length, attention.slidingWindow)));
}

/** A module that reads a half's input. */
function firstModule({ attention: { projections }, mlp }: BlockDescription, half: BlockHalf): string {
  if (half === 'attention') return (projections.kind === 'separate' ? projections.query : projections.fused).module;
  switch (mlp.kind) {
    case 'plain':
    case 'gated':
      return mlp.up.module;
    case 'gated-fused':
      return mlp.gateUp.module;
    case 'moe':
      return mlp.router.module;
  }
}
