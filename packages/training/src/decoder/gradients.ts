import { throwIfAborted, type Backend, type DeviceTensor, type Executable, type Graph, type HostTensor, type TensorScope } from '@pare/core';
import { GraphBuilder, gradientGraph, gradientName, inlineGraph, type Value } from '@pare/graph';
import { ExecutableCache, type BlockConstant } from '@pare/model';
import { metricName, tensorName, type Segment, type SegmentGraph, type SegmentParameter } from './segments.js';

/** Windows of equal length. */
export interface Batch {
  /** int64 [windows, length]. */
  readonly ids: HostTensor;
  /** What the loss asks for, by name. */
  readonly inputs: Readonly<Record<string, HostTensor | DeviceTensor>>;
}

/** The loss of a batch, on the host. */
export interface BatchLoss {
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
}

export interface DecoderGradientsOptions {
  readonly backend: Backend;
  readonly segments: readonly Segment[];
  /** Parameters by name. They stay the caller's, who may replace them between batches. */
  readonly parameters: ReadonlyMap<string, DeviceTensor>;
  /** Names of parameters to differentiate with respect to. */
  readonly trainable: ReadonlySet<string>;
  /**
   * True keeps the input of each block and computes a block anew when its gradients are due, so that one block's intermediate values are held at a time; false keeps all of
   * them, in one graph, and saves the second forward pass.
   */
  readonly recompute: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Gradients as they become complete, from the last segment to the first. Their receiver disposes them. */
export type GradientReceiver = (gradients: ReadonlyMap<string, DeviceTensor>) => void | Promise<void>;

/** Computes losses and their gradients on a backend. Compiles each distinct segment once for each length of window. */
export class DecoderGradients implements AsyncDisposable {
  readonly #options: DecoderGradientsOptions;
  readonly #executables: ExecutableCache;
  readonly #constants = new Map<string, DeviceTensor>();

  constructor(options: DecoderGradientsOptions) {
    this.#options = options;
    this.#executables = new ExecutableCache(options.backend);
  }

  /** The loss alone. */
  async loss(batch: Batch): Promise<BatchLoss> {
    using scope = this.#options.backend.scope();
    return this.#read(await this.#forward(batch, scope));
  }

  /** The tensors of the loss, on the device. They become the caller's. */
  async outputs(batch: Batch): Promise<Record<string, DeviceTensor>> {
    using scope = this.#options.backend.scope();
    const outputs = await this.#forward(batch, scope);
    const prefix = tensorName('');
    const named = Object.entries(outputs).filter(([name]) => name.startsWith(prefix));
    return Object.fromEntries(named.map(([name, tensor]) => [name.slice(prefix.length), scope.keep(tensor)]));
  }

  /**
   * The loss, and the gradient of each trainable parameter, which `receive` gets segment by segment; a parameter of several segments (a tied embedding) comes with the first of
   * them. `sums` holds gradients of earlier batches to which these are added; they are used up.
   * @throws PARE_ABORTED
   */
  async backward(batch: Batch, receive: GradientReceiver, sums: ReadonlyMap<string, DeviceTensor> = new Map()): Promise<BatchLoss> {
    const pending = new Map(sums);
    try {
      return await (this.#options.recompute ? this.#bySegments(batch, receive, pending) : this.#atOnce(batch, receive, pending));
    } finally {
      for (const tensor of pending.values()) if (!tensor.disposed) tensor[Symbol.dispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const tensor of this.#constants.values()) tensor[Symbol.dispose]();
    this.#constants.clear();
    await this.#executables[Symbol.asyncDispose]();
  }

  async #bySegments(batch: Batch, receive: GradientReceiver, pending: Map<string, DeviceTensor>): Promise<BatchLoss> {
    const { backend, segments, trainable, signal } = this.#options;
    using scope = backend.scope();
    const given = this.#batchInputs(batch, scope);
    const sources = [given['ids']!];
    for (const segment of segments.slice(0, -1)) sources.push(await this.#advance(segment, batch, sources.at(-1)!, scope));

    const first = segments.findIndex(({ parameters }) => parameters.some(({ name }) => trainable.has(name)));
    let loss: BatchLoss | undefined;
    let cotangent: DeviceTensor | undefined;
    for (let index = segments.length - 1; index >= Math.max(0, first); index--) {
      throwIfAborted(signal, 'the backward pass');
      const segment = segments[index]!;
      const own = segment.parameters.filter(({ name }) => trainable.has(name));
      const added = own.filter(({ name }) => pending.has(name));
      const carries = segment.source === 'hidden' && index > first;
      const key = `backward ${String(carries)} ${JSON.stringify([own.map(({ input }) => input), added.map(({ input }) => input)])}`;
      const inputs: Record<string, DeviceTensor> = { ...given, [segment.source]: sources[index]! };
      if (cotangent !== undefined) inputs[cotangentName] = cotangent;
      for (const { input, name } of added) inputs[sumName(input)] = pending.get(name)!;
      const outputs = await this.#run(segment, batch, key, ({ graph }) => backwardGraph(graph, segment, own, added, carries), inputs, scope);

      if (segment.result === 'loss') loss = await this.#read(outputs);
      scope.keep(sources[index]!)[Symbol.dispose]();
      if (cotangent !== undefined) scope.keep(cotangent)[Symbol.dispose]();
      cotangent = outputs[gradientName('hidden')];
      const complete = new Map<string, DeviceTensor>();
      for (const { input, name } of own) {
        const gradient = scope.keep(outputs[gradientName(input)]!);
        pending.get(name)?.[Symbol.dispose]();
        pending.delete(name);
        if (segments.slice(0, index).some(({ parameters }) => parameters.some((parameter) => parameter.name === name))) pending.set(name, gradient);
        else complete.set(name, gradient);
      }
      if (complete.size > 0) await receive(complete);
    }
    return loss!;
  }

  async #atOnce(batch: Batch, receive: GradientReceiver, pending: Map<string, DeviceTensor>): Promise<BatchLoss> {
    const { backend, segments, trainable, parameters } = this.#options;
    using scope = backend.scope();
    const length = batch.ids.shape[1]!;
    const all = new Map(segments.flatMap((segment) => segment.parameters).map((parameter) => [parameter.name, parameter]));
    const own = [...all.values()].filter(({ name }) => trainable.has(name)).map((parameter) => ({ ...parameter, input: parameter.name }));
    const added = own.filter(({ name }) => pending.has(name));
    const { graph: block, executable } = await this.#executables.block(`whole ${String(length)} ${JSON.stringify(added.map(({ name }) => name))}`, () => {
      const whole = wholeGraph(segments, length);
      return { graph: addSums(lossGradients(whole.graph, own.map(({ name }) => name)), own, added), parameters: [], constants: whole.constants };
    });
    const inputs: Record<string, DeviceTensor> = { ...this.#batchInputs(batch, scope), ...this.#constantInputs(block.constants) };
    for (const name of all.keys()) inputs[name] = parameters.get(name)!;
    for (const { name } of added) inputs[sumName(name)] = pending.get(name)!;
    const outputs = await this.#execute(executable, inputs, scope);
    const complete = new Map(own.map(({ name }) => [name, scope.keep(outputs[gradientName(name)]!)]));
    const loss = await this.#read(outputs);
    await receive(complete);
    return loss;
  }

  /** Outputs of the last segment. */
  async #forward(batch: Batch, scope: TensorScope): Promise<Record<string, DeviceTensor>> {
    const { segments } = this.#options;
    const given = this.#batchInputs(batch, scope);
    let carried = given['ids']!;
    for (const segment of segments.slice(0, -1)) {
      const next = await this.#advance(segment, batch, carried, scope);
      if (carried !== given['ids']) scope.keep(carried)[Symbol.dispose]();
      carried = next;
    }
    return this.#run(segments.at(-1)!, batch, 'forward', (built) => built.graph, { ...given, hidden: carried }, scope);
  }

  /** The segment's output, a hidden state. */
  async #advance(segment: Segment, batch: Batch, source: DeviceTensor, scope: TensorScope): Promise<DeviceTensor> {
    throwIfAborted(this.#options.signal, 'the forward pass');
    const outputs = await this.#run(segment, batch, 'forward', (built) => built.graph, { [segment.source]: source }, scope);
    return outputs['output']!;
  }

  async #run(segment: Segment, { ids }: Batch, what: string, derive: (graph: SegmentGraph) => Graph, given: Readonly<Record<string, DeviceTensor>>, scope: TensorScope): Promise<Record<string, DeviceTensor>> {
    const length = ids.shape[1]!;
    const { graph, executable } = await this.#executables.block(`${what} ${String(length)} ${segment.key}`, () => {
      const built = segment.build(length);
      return { graph: derive(built), parameters: [], constants: built.constants };
    });
    const inputs: Record<string, DeviceTensor> = { ...given, ...this.#constantInputs(graph.constants) };
    for (const { input, name } of segment.parameters) inputs[input] = this.#options.parameters.get(name)!;
    return this.#execute(executable, inputs, scope);
  }

  async #execute(executable: Executable, inputs: Readonly<Record<string, DeviceTensor>>, scope: TensorScope): Promise<Record<string, DeviceTensor>> {
    const wanted = Object.fromEntries(executable.graph.inputs.map(({ name }) => [name, inputs[name]!]));
    const { signal } = this.#options;
    const outputs = await executable.run(wanted, signal === undefined ? {} : { signal });
    for (const tensor of Object.values(outputs)) scope.own(tensor);
    return outputs;
  }

  #batchInputs({ ids, inputs }: Batch, scope: TensorScope): Record<string, DeviceTensor> {
    const { backend } = this.#options;
    const place = (tensor: HostTensor | DeviceTensor): DeviceTensor => ('data' in tensor ? scope.own(backend.write(tensor)) : tensor);
    return { ids: place(ids), ...Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, place(tensor)])) };
  }

  #constantInputs(constants: readonly BlockConstant[]): Record<string, DeviceTensor> {
    return Object.fromEntries(
      constants.map(({ name, key, tensor }) => {
        const value = this.#constants.get(key) ?? this.#options.backend.write(tensor(), { transfer: true });
        this.#constants.set(key, value);
        return [name, value];
      }),
    );
  }

  async #read(outputs: Readonly<Record<string, DeviceTensor>>): Promise<BatchLoss> {
    const number = async (name: string): Promise<number> => Number((await this.#options.backend.read(outputs[name]!)).data[0]);
    const prefix = metricName('');
    const metrics: Record<string, number> = {};
    for (const name of Object.keys(outputs)) if (name.startsWith(prefix)) metrics[name.slice(prefix.length)] = await number(name);
    return { loss: await number('loss'), metrics };
  }
}

/** Input of a backward graph: the gradient of the segment's output. */
const cotangentName = gradientName('output');
/** Input that holds what a gradient is added to. */
const sumName = (input: string): string => `sum.${input}`;

/** Gradients of a segment: of its parameters, and of its source when something before it is trained. The last segment gives the loss, too. */
function backwardGraph(graph: Graph, { result, source }: Segment, own: readonly SegmentParameter[], added: readonly SegmentParameter[], carries: boolean): Graph {
  const withRespectTo = [...(carries ? [source] : []), ...own.map(({ input }) => input)];
  const gradients = result === 'loss' ? lossGradients(graph, withRespectTo) : gradientGraph(graph, { of: result, withRespectTo, cotangents: { [result]: cotangentName } });
  return addSums(gradients, own, added);
}

function lossGradients(graph: Graph, withRespectTo: readonly string[]): Graph {
  return gradientGraph(graph, { of: 'loss', withRespectTo, outputs: graph.outputs.map(({ name }) => name).filter((name) => !name.startsWith(tensorName(''))) });
}

/** Adds inputs to the gradients of some parameters. */
function addSums(graph: Graph, own: readonly SegmentParameter[], added: readonly SegmentParameter[]): Graph {
  if (added.length === 0) return graph;
  const builder = new GraphBuilder(graph.name, { opsets: graph.opsets });
  const inputs = Object.fromEntries(graph.inputs.map(({ name, dtype, shape }) => [name, builder.input(name, dtype, shape!)]));
  const outputs = inlineGraph(builder, graph, inputs);
  const sums = new Map(added.map(({ input }) => [gradientName(input), sumName(input)]));
  const shapes = new Map(own.map(({ input, shape }) => [gradientName(input), shape]));
  for (const [name, value] of Object.entries(outputs)) {
    const sum = sums.get(name);
    builder.output(sum === undefined ? value : builder.add(builder.input(sum, 'float32', shapes.get(name)!), value), name);
  }
  return builder.build();
}

/** All segments in one graph, parameters by their names in the model. */
function wholeGraph(segments: readonly Segment[], length: number): SegmentGraph {
  const builder = new GraphBuilder('decoder');
  const constants = new Map<string, BlockConstant>();
  const values = new Map<string, Value>();
  const input = (name: string, graph: Graph, own: string): Value => {
    let value = values.get(name);
    if (value === undefined) {
      const { dtype, shape } = graph.inputs.find((candidate) => candidate.name === own)!;
      value = builder.input(name, dtype, shape!);
      values.set(name, value);
    }
    return value;
  };
  let hidden: Value | undefined;
  for (const [index, segment] of segments.entries()) {
    const { graph, constants: own } = segment.build(length);
    const names = new Map(segment.parameters.map(({ input: parameter, name }) => [parameter, name]));
    for (const constant of own) {
      // Blocks may have constants of the same name and different content.
      const name = `constant.${constant.key}`;
      names.set(constant.name, name);
      constants.set(name, { ...constant, name });
    }
    const inputs = Object.fromEntries(graph.inputs.map(({ name }) => [name, name === 'hidden' ? hidden! : input(names.get(name) ?? name, graph, name)]));
    const outputs = inlineGraph(builder, graph, inputs, { prefix: `${String(index)}.` });
    hidden = outputs['output'];
    if (segment.result === 'loss') for (const [name, value] of Object.entries(outputs)) builder.output(value, name);
  }
  return { graph: builder.build(), constants: [...constants.values()] };
}
