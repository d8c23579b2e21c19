import { pareError, type DecoderDescription, type Graph, type LazyTensor, type LinearDescription, type Model, type RotaryDescription } from '@pare/core';
import { GraphBuilder, removeUnused, type Value } from '@pare/graph';
import { tensorFloat32 } from '../forward/weights.js';
import { maskedMixer } from './attention.js';
import { addBlock } from './block.js';
import { addEmbedding } from './embedding.js';
import { addHead, headLayer } from './head.js';
import { memoize } from './memoize.js';
import { computedAngles, type RotaryAngles } from './rotary.js';
import { denseLinear, type DecoderScope } from './scope.js';

/**
 * A whole decoder without a cache: `input_ids` int64 [batch, sequence] → `logits` float32 [batch, sequence, vocabulary]. Weights are lazy float32 constants under the names of
 * the stored tensors, matrices as [out, in] whatever their stored layout; experts run on every token. Building it reads none.
 * @param model where the constants are read from; without it the graph only has their shapes, and reading one throws PARE_WEIGHTS_INACCESSIBLE
 */
export function buildDecoderGraph(description: DecoderDescription, model?: Model): Graph {
  const scope = new ConstantScope(new GraphBuilder('decoder'), model);
  const { builder } = scope;
  const ids = builder.input('input_ids', 'int64', ['batch', 'sequence']);
  const length = builder.squeeze(builder.shapeOf(ids, 1, 2), [0]);
  const places = builder.op('Range', [builder.scalar(0, 'int64'), length, builder.scalar(1, 'int64')]);
  const positions = builder.unsqueeze(places, [0]);

  const angles = memoize((rotary: RotaryDescription): RotaryAngles => computedAngles(scope, rotary, positions));
  const masks = memoize((window: number | null): Value => {
    const query = builder.unsqueeze(places, [1]);
    const causal = builder.lessOrEqual(places, query);
    const seen = window === null ? causal : builder.and(causal, builder.greater(places, builder.sub(query, window)));
    return builder.where(seen, builder.scalar(0), builder.scalar(scope.maskedScore));
  });

  const { hiddenSize, embedding, vocabularySize } = description;
  const rows = builder.gather(scope.matrix({ module: embedding.module, outFeatures: vocabularySize, inFeatures: hiddenSize }), ids, 0);
  let hidden = addEmbedding(scope, description, rows, positions);
  for (const block of description.blocks) {
    const { attention } = block;
    hidden = addBlock(scope, block, hidden, {
      hiddenSize,
      angles: attention.rotary === undefined ? undefined : angles(attention.rotary),
      mix: maskedMixer(scope, attention, undefined, () => masks(attention.slidingWindow ?? null)),
      experts: 'all',
    });
  }
  builder.output(addHead(scope, description, hidden, headLayer(description)), 'logits');
  return removeUnused(builder.build());
}

/** A scope whose weights are constants. */
class ConstantScope implements DecoderScope {
  readonly builder: GraphBuilder;
  readonly dtype = 'float32';
  readonly maskedScore = -1e30;
  readonly #model: Model | undefined;

  constructor(builder: GraphBuilder, model: Model | undefined) {
    this.builder = builder;
    this.#model = model;
  }

  parameter(name: string, shape: readonly number[]): Value {
    return this.#constant(name, shape, (model) => tensorFloat32(model, name));
  }

  linear(x: Value, layer: LinearDescription): Value {
    return denseLinear(this.builder, x, this.matrix(layer), layer.bias ? this.parameter(`${layer.module}.bias`, [layer.outFeatures]) : undefined);
  }

  matrix({ module, outFeatures, inFeatures }: Pick<LinearDescription, 'module' | 'outFeatures' | 'inFeatures'>): Value {
    return this.#constant(`${module}.weight`, [outFeatures, inFeatures], (model) => model.denseWeight(module));
  }

  #constant(name: string, shape: readonly number[], read: (model: Model) => Promise<{ readonly data: Float32Array }>): Value {
    const known = this.builder.value(name);
    if (known !== undefined) return known;
    const lazy: LazyTensor = {
      dtype: 'float32',
      shape,
      read: async () => {
        if (this.#model === undefined) throw pareError('PARE_WEIGHTS_INACCESSIBLE', { file: 'a graph without weights', wanted: 'this' });
        const { data } = await read(this.#model);
        return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      },
    };
    return this.builder.initializer(name, lazy);
  }
}
