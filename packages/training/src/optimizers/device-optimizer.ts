import { elementCount, float32Tensor, type Backend, type DeviceTensor, type Graph, type HostTensor } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import { ExecutableCache } from '@pare/model';
import { type Optimizer } from './optimizer.js';

export interface DeviceOptimizerOptions {
  readonly backend: Backend;
  readonly optimizer: Optimizer;
  /** All parameters; those that are trained are replaced step by step. The tensors stay the caller's to dispose. */
  readonly parameters: Map<string, DeviceTensor>;
  readonly trainable: readonly string[];
  /** Which parameters weight decay applies to; matrices by default, so that norms and biases keep their size. */
  readonly decayed?: ((name: string, shape: readonly number[]) => boolean) | undefined;
}

/** Parameters updated by one graph: so many bytes that new and old ones together stay small. */
const groupBytes = 32 * 2 ** 20;

/** An optimizer whose parameters and state stay on the device between steps. */
export class DeviceOptimizer implements AsyncDisposable {
  readonly #options: DeviceOptimizerOptions;
  readonly #executables: ExecutableCache;
  readonly #state = new Map<string, DeviceTensor>();
  readonly #groups: readonly (readonly string[])[];

  constructor(options: DeviceOptimizerOptions) {
    this.#options = options;
    const { backend, optimizer, parameters, trainable } = options;
    this.#executables = new ExecutableCache(backend);
    const groups: string[][] = [];
    let bytes = Infinity;
    for (const name of trainable) {
      const tensor = parameters.get(name);
      if (tensor === undefined) throw new RangeError(`there is no parameter "${name}"`);
      bytes += tensor.byteLength;
      if (bytes > groupBytes) {
        groups.push([]);
        bytes = tensor.byteLength;
      }
      groups.at(-1)!.push(name);
      for (const kept of optimizer.state) this.#state.set(stateName(name, kept), backend.allocate('float32', tensor.shape));
    }
    this.#groups = groups;
  }

  /** √Σ g² over all gradients. */
  async norm(gradients: ReadonlyMap<string, DeviceTensor>): Promise<number> {
    const { backend } = this.#options;
    let sum = 0;
    for (const group of this.#groups) {
      const tensors = group.map((name) => gradients.get(name)!);
      const shapes = tensors.map(({ shape }) => shape);
      const executable = await this.#executables.get(`norm ${JSON.stringify(shapes)}`, () => normGraph(shapes));
      const { total } = await executable.run(Object.fromEntries(tensors.map((tensor, index) => [`g.${String(index)}`, tensor])));
      using tensor = total!;
      sum += Number((await backend.read(tensor)).data[0]);
    }
    return Math.sqrt(sum);
  }

  /**
   * One step. Gradients stay the caller's.
   * @param step counted from 1
   * @param scale factor on all gradients, below 1 to clip them
   */
  async step(gradients: ReadonlyMap<string, DeviceTensor>, step: number, learningRate: number, scale = 1): Promise<void> {
    const { backend, optimizer, parameters, decayed = (_name, shape) => shape.length > 1 } = this.#options;
    const numbers = [scale, ...optimizer.scalars(step, learningRate)];
    using scalars = backend.write(float32Tensor([numbers.length], numbers));
    for (const group of this.#groups) {
      const entries = group.map((name) => ({ name, shape: parameters.get(name)!.shape, decayed: decayed(name, parameters.get(name)!.shape) }));
      const key = JSON.stringify(entries.map(({ shape, decayed: applies }) => [shape, applies]));
      const executable = await this.#executables.get(`${optimizer.key} ${key}`, () => stepGraph(optimizer, entries));
      const inputs: Record<string, DeviceTensor> = { scalars };
      for (const [index, name] of group.entries()) {
        inputs[`p.${String(index)}`] = parameters.get(name)!;
        inputs[`g.${String(index)}`] = gradients.get(name)!;
        for (const kept of optimizer.state) inputs[`${kept}.${String(index)}`] = this.#state.get(stateName(name, kept))!;
      }
      const outputs = await executable.run(inputs);
      for (const [index, name] of group.entries()) {
        replace(parameters, name, outputs[`next.p.${String(index)}`]!);
        for (const kept of optimizer.state) replace(this.#state, stateName(name, kept), outputs[`next.${kept}.${String(index)}`]!);
      }
    }
  }

  /** The state by name, for a checkpoint. It stays the optimizer's. */
  get state(): ReadonlyMap<string, DeviceTensor> {
    return this.#state;
  }

  /** Puts a kept state back. Names and shapes must be those of `state`. */
  restore(state: ReadonlyMap<string, HostTensor>): void {
    for (const [name, { shape }] of this.#state) {
      const kept = state.get(name);
      if (kept?.shape.join() !== shape.join()) throw new RangeError(`the state "${name}" of the optimizer is missing or has another shape`);
      replace(this.#state, name, this.#options.backend.write(kept));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const tensor of this.#state.values()) tensor[Symbol.dispose]();
    this.#state.clear();
    await this.#executables[Symbol.asyncDispose]();
  }
}

const stateName = (parameter: string, kept: string): string => `${parameter}.${kept}`;

function replace(tensors: Map<string, DeviceTensor>, name: string, next: DeviceTensor): void {
  tensors.get(name)?.[Symbol.dispose]();
  tensors.set(name, next);
}

function normGraph(shapes: readonly (readonly number[])[]): Graph {
  const builder = new GraphBuilder('gradient-norm');
  const squares = shapes.map((shape, index) => {
    const gradient = builder.input(`g.${String(index)}`, 'float32', shape);
    // Sums of rows first: one long sum in single precision would lose digits.
    const width = shape.at(-1) ?? 1;
    const rows = builder.reshape(gradient, [elementCount(shape) / Math.max(1, width), width]);
    return builder.reduceSum(builder.reduceSum(builder.mul(rows, rows), [1]));
  });
  builder.output(squares.reduce((left, right) => builder.add(left, right)), 'total');
  return builder.build();
}

function stepGraph(optimizer: Optimizer, entries: readonly { readonly shape: readonly number[]; readonly decayed: boolean }[]): Graph {
  const builder = new GraphBuilder('optimizer-step');
  const count = optimizer.scalars(1, 0).length;
  const scalars = builder.input('scalars', 'float32', [count + 1]);
  const [scale, ...others] = Array.from({ length: count + 1 }, (_, index): Value => builder.slice(scalars, 0, index, index + 1));
  for (const [index, { shape, decayed }] of entries.entries()) {
    const input = (stem: string): Value => builder.input(`${stem}.${String(index)}`, 'float32', shape);
    const next = optimizer.update(builder, { parameter: input('p'), gradient: builder.mul(input('g'), scale!), state: optimizer.state.map(input), scalars: others, decayed });
    builder.output(next.parameter, `next.p.${String(index)}`);
    for (const [place, kept] of optimizer.state.entries()) builder.output(next.state[place]!, `next.${kept}.${String(index)}`);
  }
  return builder.build();
}
