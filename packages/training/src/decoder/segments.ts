import { hostTensor, type BlockDescription, type DecoderDescription, type Dimension, type Graph, type HostTensor } from '@pare/core';
import { GraphBuilder, inlineGraph, type Value } from '@pare/graph';
import { addEmbedding, blockPrefix, buildBlockGraph, buildLogitsGraph, headInputs, headLayer, relativeBlock, type BlockConstant, type ExpertMode } from '@pare/model';
import { type Adapter } from '../adapters/adapter.js';
import { type Loss } from '../losses/loss.js';

/** A parameter of a segment: its name in the segment's graph and in the model. */
export interface SegmentParameter {
  readonly input: string;
  /** Name of the stored tensor, or of an adapter's. */
  readonly name: string;
  /** The module whose matrix it is, [out, in] whatever its stored layout; undefined for norms, biases and tables of positions. */
  readonly module: string | undefined;
  readonly shape: readonly number[];
  /** The adapter that it belongs to. */
  readonly adapter: Adapter | undefined;
}

/** The forward pass of a segment over windows of one length. */
export interface SegmentGraph {
  readonly graph: Graph;
  readonly constants: readonly BlockConstant[];
}

/** A part of a decoder between two hidden states [batch, length, hidden]: the embedding (from `ids`), a block, or the head (to the loss). */
export interface Segment {
  /** Equal for segments whose graphs are equal. */
  readonly key: string;
  /** The input that comes from the segment before, or the token ids. */
  readonly source: 'ids' | 'hidden';
  /** The output that the segment after takes, or the loss. */
  readonly result: 'output' | 'loss';
  readonly parameters: readonly SegmentParameter[];
  build(length: number): SegmentGraph;
}

export interface SegmentOptions {
  readonly description: DecoderDescription;
  readonly experts: ExpertMode;
  readonly loss: Loss;
  /** Adapters by the name of the parameter that they change. */
  readonly adapters?: ReadonlyMap<string, Adapter> | undefined;
}

/** The segments of a decoder in the order of computation. */
export function decoderSegments({ description, experts, loss, adapters = new Map() }: SegmentOptions): Segment[] {
  return [
    withAdapters(embeddingSegment(description), adapters),
    ...description.blocks.map((block) => withAdapters(blockSegment(description, block, experts), adapters)),
    withAdapters(headSegment(description, loss), adapters),
  ];
}

const parameterOf = (input: string, name: string, module: string | undefined, shape: readonly number[]): SegmentParameter => ({ input, name, module, shape, adapter: undefined });

function embeddingSegment(description: DecoderDescription): Segment {
  const { embedding, vocabularySize, hiddenSize, maxPositions } = description;
  const parameters = [parameterOf('tokens', `${embedding.module}.weight`, embedding.module, [vocabularySize, hiddenSize])];
  const { positions } = embedding;
  if (positions !== undefined) parameters.push(parameterOf('positions', `${positions.module}.weight`, undefined, [maxPositions + positions.offset, hiddenSize]));
  return {
    key: 'embedding',
    source: 'ids',
    result: 'output',
    parameters,
    build: (length) => {
      const builder = new GraphBuilder('embedding');
      const ids = builder.input('ids', 'int64', ['batch', length]);
      const table = builder.input('tokens', 'float32', [vocabularySize, hiddenSize]);
      const places = builder.constant(hostTensor('int64', [length], BigInt64Array.from({ length }, (_, position) => BigInt(position))));
      const scope = {
        builder,
        dtype: 'float32',
        maskedScore: 0,
        parameter: (_name: string, shape: readonly number[]): Value => builder.input('positions', 'float32', shape),
        linear: (): never => {
          throw new Error('an embedding has no linear layers');
        },
      } as const;
      builder.output(addEmbedding(scope, description, builder.gather(table, ids, 0), places), 'output');
      return { graph: builder.build(), constants: [] };
    },
  };
}

function blockSegment({ hiddenSize }: DecoderDescription, block: BlockDescription, experts: ExpertMode): Segment {
  const options = { block: relativeBlock(block), hiddenSize, experts };
  const prefix = blockPrefix(block);
  // Parameters do not depend on the length.
  const sample = buildBlockGraph({ ...options, length: 1 });
  const shapes = new Map(sample.graph.inputs.map(({ name, shape }) => [name, shape as readonly number[]]));
  return {
    key: `block ${JSON.stringify(options)}`,
    source: 'hidden',
    result: 'output',
    parameters: sample.parameters.map(({ name, module }) => parameterOf(name, prefix + name, module === undefined ? undefined : prefix + module, shapes.get(name)!)),
    build: (length) => buildBlockGraph({ ...options, length }),
  };
}

function headSegment(description: DecoderDescription, loss: Loss): Segment {
  const { finalNorm, head, hiddenSize, vocabularySize } = description;
  const layer = headLayer(description);
  const parameters = [parameterOf(headInputs.normWeight, `${finalNorm.module}.weight`, undefined, [hiddenSize])];
  if (finalNorm.kind === 'layer' && finalNorm.bias) parameters.push(parameterOf(headInputs.normBias, `${finalNorm.module}.bias`, undefined, [hiddenSize]));
  parameters.push(parameterOf(headInputs.weight, `${layer.module}.weight`, layer.module, [vocabularySize, hiddenSize]));
  if (head.bias) parameters.push(parameterOf(headInputs.bias, `${head.module}.bias`, undefined, [vocabularySize]));
  return {
    key: `head ${loss.key}`,
    source: 'hidden',
    result: 'loss',
    parameters,
    build: (length) => {
      const logitsGraph = buildLogitsGraph({ description, length, rows: vocabularySize });
      const builder = new GraphBuilder('loss');
      const inputs = Object.fromEntries(logitsGraph.inputs.map(({ name, dtype, shape }) => [name, builder.input(name, dtype, shape!)]));
      const logits = inlineGraph(builder, logitsGraph, inputs)['logits']!;
      const input = (name: string, dtype: HostTensor['dtype'], shape: readonly Dimension[]): Value => builder.input(name, dtype, shape);
      const built = loss.build(builder, logits, { input });
      builder.output(built.loss, 'loss');
      for (const [name, value] of Object.entries(built.metrics ?? {})) builder.output(value, metricName(name));
      for (const [name, value] of Object.entries(built.tensors ?? {})) builder.output(value, tensorName(name));
      return { graph: builder.build(), constants: [] };
    },
  };
}

/** Output of a head graph that holds a metric. */
export const metricName = (name: string): string => `metric.${name}`;
/** Output of a head graph that holds a tensor. */
export const tensorName = (name: string): string => `tensor.${name}`;

/** The segment with adapted parameters computed in its graph from the stored ones and the adapters'. */
function withAdapters(segment: Segment, adapters: ReadonlyMap<string, Adapter>): Segment {
  const adapted = segment.parameters.filter(({ name }) => adapters.has(name));
  if (adapted.length === 0) return segment;
  const added = adapted.flatMap((parameter) => {
    const adapter = adapters.get(parameter.name)!;
    return adapter.parameters(parameter.shape).map(({ suffix, shape }): SegmentParameter => ({ input: parameter.input + suffix, name: parameter.name + suffix, module: undefined, shape, adapter }));
  });
  return {
    ...segment,
    key: `${segment.key} with ${JSON.stringify(adapted.map(({ input, name }) => [input, adapters.get(name)!.key]))}`,
    parameters: [...segment.parameters, ...added],
    build: (length) => {
      const { graph, constants } = segment.build(length);
      const builder = new GraphBuilder(graph.name);
      const inputs = Object.fromEntries(graph.inputs.map(({ name, dtype, shape }) => [name, builder.input(name, dtype, shape!)]));
      for (const { input, name, shape } of adapted) {
        const adapter = adapters.get(name)!;
        const own = adapter.parameters(shape).map(({ suffix, shape: size }) => builder.input(input + suffix, 'float32', size));
        inputs[input] = adapter.apply(builder, inputs[input]!, own);
      }
      for (const [name, value] of Object.entries(inlineGraph(builder, graph, inputs))) builder.output(value, name);
      return { graph: builder.build(), constants };
    },
  };
}
