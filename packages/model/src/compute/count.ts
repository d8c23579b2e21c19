import type { BlockDescription, DecoderDescription, LinearDescription } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import { cacheMixer } from '../decoder/attention.js';
import { addBlock } from '../decoder/block.js';
import { addHead, headLayer } from '../decoder/head.js';
import { blockPrefix, relativeBlock } from '../decoder/relative.js';
import { denseLinear, type DecoderScope } from '../decoder/scope.js';
import { matrixProducts } from './products.js';

export interface ComputeRequest {
  /** Tokens T that pass through at once. */
  readonly sequenceLength: number;
  /** Positions P in the cache before them; 0 by default. */
  readonly pastLength?: number | undefined;
}

/** Multiply-accumulates of a linear layer, all tokens together. */
export interface ModuleCompute {
  readonly module: string;
  readonly macs: number;
}

/** Multiply-accumulates of a block. */
export interface BlockCompute {
  readonly block: string;
  readonly modules: readonly ModuleCompute[];
  /** q·kᵀ and scores·v of all heads. */
  readonly attention: number;
}

export interface ModelCompute {
  readonly blocks: readonly BlockCompute[];
  readonly head: ModuleCompute;
}

/**
 * Multiply-accumulates of a decoder's forward pass over one sequence, from the graphs generated of its description; no weights are needed. Counted are the matrix
 * products: every linear layer, both products of attention, and the head at every position. With hidden size d, heads h (kv of them with keys and values) of size s, MLP width f,
 * S = P + T, a block has
 *
 *     T·d·h·s + 2·T·d·kv·s + T·h·s·d + 2·T·S·h·s + 3·T·d·f     (2·T·d·f without a gate)
 *
 * and the head T·d·V. Attention counts all S keys for every query, also those that the causal mask or a sliding window hides, as published figures do. Of a
 * mixture's experts each counts with its average share of the tokens, expertsPerToken / experts. The embedding is a lookup: 0.
 */
export function countModel(description: DecoderDescription, { sequenceLength, pastLength = 0 }: ComputeRequest): ModelCompute {
  const equalBlocks = new Map<string, BlockCompute>();
  const blocks = description.blocks.map((block): BlockCompute => {
    const relative = relativeBlock(block);
    const key = JSON.stringify(relative);
    const count = equalBlocks.get(key) ?? countBlock(relative, description.hiddenSize, sequenceLength, pastLength);
    equalBlocks.set(key, count);
    const prefix = blockPrefix(block);
    return { block: block.name, modules: count.modules.map(({ module, macs }) => ({ module: prefix + module, macs })), attention: count.attention };
  });
  return { blocks, head: countHead(description, sequenceLength) };
}

/** All of them together. */
export function totalMacs({ blocks, head }: ModelCompute): number {
  return blocks.reduce((sum, { modules, attention }) => sum + attention + modules.reduce((inner, { macs }) => inner + macs, 0), head.macs);
}

/** Weights, masks and angles as graph inputs: shapes without values. */
class ShapeScope implements DecoderScope {
  readonly builder: GraphBuilder;
  readonly dtype = 'float32';
  readonly maskedScore = -1e30;
  /** Module by the name of its matrix. */
  readonly modules = new Map<string, string>();
  readonly #values = new Map<string, Value>();

  constructor(name: string) {
    this.builder = new GraphBuilder(name);
  }

  parameter(name: string, shape: readonly number[]): Value {
    const value = this.#values.get(name) ?? this.builder.input(name, 'float32', shape);
    this.#values.set(name, value);
    return value;
  }

  linear(x: Value, { module, inFeatures, outFeatures, bias }: LinearDescription): Value {
    const name = `${module}.weight`;
    this.modules.set(name, module);
    return denseLinear(this.builder, x, this.parameter(name, [outFeatures, inFeatures]), bias ? this.parameter(`${module}.bias`, [outFeatures]) : undefined);
  }
}

function countBlock(block: BlockDescription, hiddenSize: number, length: number, past: number): BlockCompute {
  const scope = new ShapeScope('block');
  const { builder } = scope;
  const { attention, mlp } = block;
  const { rotary, kvHeads, headSize } = attention;
  const input = (name: string, ...shape: number[]): Value => builder.input(name, 'float32', shape);
  const cache = { key: input('past.key', 1, kvHeads, past, headSize), value: input('past.value', 1, kvHeads, past, headSize) };
  const mask = input('mask', 1, 1, 1, length, past + length);
  const angles = rotary === undefined ? undefined : { cos: input('cos', length, rotary.dimensions / 2), sin: input('sin', length, rotary.dimensions / 2) };
  const mix = cacheMixer(scope, attention, cache, mask, () => undefined);
  // Every expert on every token has known shapes; each is then scaled to the tokens that reach it.
  builder.output(addBlock(scope, block, input('hidden', 1, length, hiddenSize), { hiddenSize, angles, mix, experts: 'all' }), 'output');

  const experts = new Set(mlp.kind === 'moe' ? mlp.experts.flatMap(({ gate, up, down }) => [gate.module, up.module, down.module]) : []);
  const share = mlp.kind === 'moe' ? mlp.expertsPerToken / mlp.experts.length : 1;
  const modules: ModuleCompute[] = [];
  let products = 0;
  for (const { macs, weight } of matrixProducts(builder.build())) {
    const module = weight === undefined ? undefined : scope.modules.get(weight);
    if (module === undefined) products += macs;
    else modules.push({ module, macs: experts.has(module) ? macs * share : macs });
  }
  return { block: block.name, modules, attention: products };
}

function countHead(description: DecoderDescription, length: number): ModuleCompute {
  const scope = new ShapeScope('head');
  const { builder } = scope;
  builder.output(addHead(scope, description, builder.input('hidden', 'float32', [1, length, description.hiddenSize])), 'logits');
  const macs = matrixProducts(builder.build()).reduce((sum, product) => sum + product.macs, 0);
  return { module: headLayer(description).module, macs };
}
