import { float32Tensor, type BlockDescription, type DType, type Graph, type HostTensor, type InputScheme, type LinearDescription } from '@pare/core';
import { GraphBuilder, removeUnused, type Value } from '@pare/graph';
import { InputRounding, type StaticInputValues } from '@pare/weights';
import type { Statistic } from '../statistics/statistic.js';
import { windowMask, windowMaskShape, windowMixer } from './attention.js';
import { addBlock } from './block.js';
import type { ExpertMode } from './mlp.js';
import { constantAngles } from './rotary.js';
import { denseLinear, type DecoderScope, type RoutedRows } from './scope.js';

/** What a graph over one block is generated from. Its JSON is the key under which the compiled graph is shared. */
export interface BlockGraphOptions {
  /** With names relative to the block (`relativeBlock`). */
  readonly block: BlockDescription;
  readonly hiddenSize: number;
  /** Positions of every window. */
  readonly length: number;
  readonly experts: ExpertMode;
  /** Linear layers that round their inputs, by name relative to the block. */
  readonly inputs?: Readonly<Record<string, InputScheme>> | undefined;
}

/** A graph input that holds a weight. */
export interface BlockParameter {
  /** Name of the graph input: the stored tensor's name relative to the block. */
  readonly name: string;
  /** The module, for the matrix of a linear layer ([out, in] whatever its stored layout) and for `input`; undefined for norms and biases. */
  readonly module: string | undefined;
  /** Set for a number of the static grid that the module's inputs are rounded to, shape []: its scale (float32) or zero point (int8). */
  readonly input?: 'scale' | 'zero' | undefined;
}

/** A graph input that depends on nothing but the graph's options. Blocks share it; as a constant inside each graph it would be held once for each. */
export interface BlockConstant {
  readonly name: string;
  /** Equal for equal tensors. */
  readonly key: string;
  tensor(): HostTensor;
}

/** A graph from `hidden` float32 [batch, length, hiddenSize] and weights to `output`, of the same shape. */
export interface BlockGraph {
  readonly graph: Graph;
  readonly parameters: readonly BlockParameter[];
  readonly constants: readonly BlockConstant[];
}

/** Statistics to take of the input of one linear layer. */
export interface CaptureRequest {
  /** Relative to the block. */
  readonly module: string;
  readonly statistics: readonly Statistic<unknown>[];
}

/** One input value and all that is computed of it. Graph inputs `state.<index>.…` turn into outputs `next.<index>.…`. */
export interface CaptureGroup {
  readonly modules: readonly string[];
  readonly inFeatures: number;
  /** Name stem of the running row count (int64 [1]) for the input of a routed expert; elsewhere every row counts. */
  readonly counter: string | undefined;
  readonly statistics: readonly { readonly statistic: Statistic<unknown>; readonly tensors: readonly string[] }[];
}

export interface CalibrationGraph extends BlockGraph {
  readonly groups: readonly CaptureGroup[];
}

interface Capture {
  readonly x: Value;
  readonly inFeatures: number;
  readonly routed: RoutedRows | undefined;
}

/** The scope of a forward pass: float32, weights as graph inputs. */
export class ForwardScope implements DecoderScope {
  readonly builder: GraphBuilder;
  readonly dtype = 'float32';
  readonly maskedScore = -1e30;
  readonly parameters = new Map<string, BlockParameter>();
  readonly captures = new Map<string, Capture>();
  readonly constants: BlockConstant[] = [];
  readonly #values = new Map<string, Value>();
  readonly #inputs: Readonly<Record<string, InputScheme>>;
  readonly #rounding: InputRounding;

  /** @param inputs linear layers that round their inputs, by name */
  constructor(builder: GraphBuilder, inputs: Readonly<Record<string, InputScheme>> = {}) {
    this.builder = builder;
    this.#inputs = inputs;
    this.#rounding = new InputRounding(builder);
  }

  parameter(name: string, shape: readonly number[]): Value {
    return this.#input({ name, module: undefined }, shape);
  }

  linear(x: Value, layer: LinearDescription, routed?: RoutedRows): Value {
    const { module, inFeatures, outFeatures } = layer;
    this.captures.set(module, { x, inFeatures, routed });
    const weight = this.#input({ name: `${module}.weight`, module }, [outFeatures, inFeatures]);
    const scheme = this.#inputs[module];
    const rounded = scheme === undefined ? x : this.#rounding.round(x, scheme, scheme.dynamic ? undefined : this.#staticValues(module, scheme));
    return denseLinear(this.builder, rounded, weight, layer.bias ? this.parameter(`${module}.bias`, [outFeatures]) : undefined);
  }

  /** The mask of attention over whole windows. */
  windowMask(length: number, slidingWindow: number | undefined): Value {
    const name = 'attention_mask';
    this.constants.push({ name, key: `${name} ${String(length)} ${String(slidingWindow)}`, tensor: () => windowMask(length, slidingWindow, this.maskedScore) });
    return this.builder.input(name, 'float32', windowMaskShape(length, slidingWindow));
  }

  #staticValues(module: string, { symmetric }: InputScheme): StaticInputValues {
    return {
      scale: this.#input({ name: `${module}.input_scale`, module, input: 'scale' }, []),
      zero: symmetric ? undefined : this.#input({ name: `${module}.input_zero_point`, module, input: 'zero' }, [], 'int8'),
    };
  }

  #input(parameter: BlockParameter, shape: readonly number[], dtype: DType = 'float32'): Value {
    let value = this.#values.get(parameter.name);
    if (value === undefined) {
      value = this.builder.input(parameter.name, dtype, shape);
      this.#values.set(parameter.name, value);
      this.parameters.set(parameter.name, parameter);
    }
    return value;
  }
}

/** Adds a block over whole windows to a scope. */
export function forward(scope: ForwardScope, { block, hiddenSize, length, experts }: BlockGraphOptions): { hidden: Value; output: Value } {
  const hidden = scope.builder.input('hidden', 'float32', ['batch', length, hiddenSize]);
  const { attention } = block;
  const angles = attention.rotary === undefined ? undefined : constantAngles(scope, attention.rotary, length);
  const mix = windowMixer(scope, attention, length, scope.windowMask(length, attention.slidingWindow));
  const output = addBlock(scope, block, hidden, { hiddenSize, angles, mix, experts });
  return { hidden, output };
}

/** Leaves out what no output needs, inputs included. */
export function finishGraph({ builder, parameters, constants }: ForwardScope): BlockGraph {
  const graph = removeUnused(builder.build());
  const read = new Set(graph.nodes.flatMap((node) => node.inputs));
  const isRead = ({ name }: { readonly name: string }): boolean => read.has(name);
  return { graph: { ...graph, inputs: graph.inputs.filter(isRead) }, parameters: [...parameters.values()].filter(isRead), constants: constants.filter(isRead) };
}

/** The forward pass of a block over whole windows. */
export function buildBlockGraph(options: BlockGraphOptions): BlockGraph {
  const scope = new ForwardScope(new GraphBuilder('block'), options.inputs);
  const { output } = forward(scope, options);
  scope.builder.output(output, 'output');
  return finishGraph(scope);
}

/**
 * The part of a block's forward pass that leads to the inputs of the requested modules, and the statistics of those inputs. What lies behind the last of
 * them, usually the widest product of the block, is not in the graph. Statistics are of inputs before a layer rounds them itself; what earlier layers rounded has its effect on them.
 */
export function buildCalibrationGraph(options: BlockGraphOptions, requests: readonly CaptureRequest[]): CalibrationGraph {
  const scope = new ForwardScope(new GraphBuilder('calibration'), options.inputs);
  forward(scope, options);
  const groups = groupByInput(scope, requests).map(({ capture, modules, statistics }, index): CaptureGroup => {
    const rows = countedRows(scope, capture);
    return {
      modules,
      inFeatures: capture.inFeatures,
      counter: capture.routed === undefined ? undefined : accumulateCount(scope, capture.routed.count, `${String(index)}.rows`),
      statistics: statistics.map((statistic) => ({ statistic, tensors: accumulate(scope, statistic, rows, capture.inFeatures, `${String(index)}.${statistic.id}`) })),
    };
  });
  return { ...finishGraph(scope), groups };
}

/** Requests whose modules read the same value, together. */
function groupByInput(scope: ForwardScope, requests: readonly CaptureRequest[]): { capture: Capture; modules: string[]; statistics: Statistic<unknown>[] }[] {
  const groups = new Map<string, { capture: Capture; modules: string[]; statistics: Statistic<unknown>[] }>();
  for (const request of requests) {
    const capture = scope.captures.get(request.module);
    if (capture === undefined) throw new Error(`block has no linear layer "${request.module}"`);
    // Experts that run on every token share x but not the rows that count.
    const key = `${capture.x.name} ${capture.routed?.mask?.name ?? ''}`;
    const group = groups.get(key) ?? { capture, modules: [], statistics: [] };
    groups.set(key, group);
    group.modules.push(request.module);
    for (const statistic of request.statistics) if (!group.statistics.includes(statistic)) group.statistics.push(statistic);
  }
  return [...groups.values()];
}

/** The rows of an input as [rows, in], at least one, where a row of zeros stands for nothing. */
function countedRows({ builder }: ForwardScope, { x, inFeatures, routed }: Capture): Value {
  const rows = builder.reshape(x, [-1, inFeatures]);
  if (routed === undefined) return rows;
  if (routed.mask !== undefined) return builder.mul(rows, routed.mask);
  const nothing = builder.constant(float32Tensor([1, inFeatures]));
  return builder.concat([rows, nothing], 0);
}

function accumulateCount({ builder }: ForwardScope, count: Value, stem: string): string {
  builder.output(builder.add(builder.input(`state.${stem}`, 'int64', [1]), count), `next.${stem}`);
  return stem;
}

/** Adds the rows to a statistic's state; returns the stems of its tensors' names. */
function accumulate({ builder }: ForwardScope, statistic: Statistic<unknown>, rows: Value, inFeatures: number, name: string): string[] {
  const stems = statistic.state(inFeatures).map((_, index) => `${name}.${String(index)}`);
  const state = statistic.state(inFeatures).map((tensor, index) => builder.input(`state.${stems[index]!}`, tensor.dtype, tensor.shape));
  const next = statistic.accumulate(builder, rows, state, inFeatures);
  stems.forEach((stem, index) => builder.output(next[index]!, `next.${stem}`));
  return stems;
}
