import { bfloat16ToFloat32, dtypeBytes, elementCount, float16ToFloat32, tensorBytes, type AttributeValue, type DType, type Graph, type GraphNode, type HostTensor } from '@pare/core';
import { nodeError } from './node-error.js';
import { literal, position, scalarTypeOf, type BufferReference, type Expression } from '../expression/expression.js';
import { atPosition, type Coordinates } from '../expression/coordinates.js';
import type { GeneratedKernel, KernelLanguage } from '../kernels/generated.js';
import { isWindow, splitKernel } from '../kernels/split.js';
import type { DeviceTraits, KernelSource, Program } from '../program.js';
import type { Narrowing, RoutineTable } from '../routines.js';
import { bufferTensor, count, isDense, weighedTensor, type BufferTensor, type LazyTensor } from './lazy-tensor.js';

/** A buffer from an offset in bytes on. */
export interface BufferWindow {
  readonly buffer: BufferReference;
  readonly offset: number;
}

/** Where the bytes of a plan's buffer come from. */
export type BufferOrigin =
  | { readonly kind: 'input'; readonly name: string }
  | { readonly kind: 'constant'; readonly name: string }
  /** Elements that the host computed while lowering. */
  | { readonly kind: 'upload'; readonly tensor: HostTensor }
  | { readonly kind: 'computed' };

export interface PlanBuffer extends BufferReference {
  readonly origin: BufferOrigin;
}

/** A kernel launch of a plan, with buffers by id. */
export interface PlanStep {
  readonly kernel: KernelSource;
  readonly operands: readonly { readonly buffer: number; readonly access: 'read' | 'write'; readonly offset?: number | undefined; readonly size?: number | undefined }[];
  readonly uniforms: Uint32Array | undefined;
  readonly workgroups: readonly [number, number, number];
}

/** Thrown while lowering when shapes depend on elements that only the device has. Reading `buffer` and lowering again with them goes further. */
export class NeedsElements extends Error {
  readonly buffer: BufferReference;
  readonly dtype: DType;
  readonly shape: readonly number[];

  constructor(buffer: BufferReference, dtype: DType, shape: readonly number[]) {
    super('elements are needed on the host');
    this.buffer = buffer;
    this.dtype = dtype;
    this.shape = shape;
  }
}

/** What a lowering draws on. */
export interface LoweringTarget {
  readonly language: KernelLanguage;
  readonly routines: RoutineTable;
  readonly traits: DeviceTraits;
}

/** Nodes of an expression above which its inputs are computed first, so that kernels stay small. */
const maximumNodes = 160;
/** Largest constant whose elements are kept at hand on the host, in elements. */
const hostElements = 4096;

/** Collects the steps that compute tensors. */
export class Lowering {
  readonly target: LoweringTarget;
  readonly buffers: PlanBuffer[] = [];
  readonly steps: PlanStep[] = [];
  readonly #reads: readonly HostTensor[];
  readonly #known = new Map<number, HostTensor>();
  readonly #dense = new Map<LazyTensor, BufferTensor>();
  /** Buffers in bfloat16, by the buffer in float32. */
  readonly #narrow = new Map<number, BufferReference>();
  #read = 0;

  /** `reads` are the elements read so far, in the order they were needed. */
  constructor(target: LoweringTarget, reads: readonly HostTensor[]) {
    this.target = target;
    this.#reads = reads;
  }

  get traits(): DeviceTraits {
    return this.target.traits;
  }

  buffer(bytes: number, origin: BufferOrigin): PlanBuffer {
    const buffer = { id: this.buffers.length, bytes: Math.max(4, Math.ceil(bytes / 4) * 4), origin };
    this.buffers.push(buffer);
    return buffer;
  }

  /** A tensor that the host knows. Single numbers are written into kernels. */
  hostTensor(tensor: HostTensor, store = (): BufferReference => this.buffer(tensorBytes(tensor), { kind: 'upload', tensor })): LazyTensor {
    const { dtype, shape } = tensor;
    const constant = elementCount(shape) === 1 && dtype !== 'int4' && dtype !== 'uint4' ? literalOf(tensor) : undefined;
    let buffer: BufferReference | undefined;
    const stored = (): BufferReference => (buffer ??= store());
    if (constant !== undefined) return { dtype, shape, host: tensor, work: 0, loops: false, at: () => constant };
    let view: LazyTensor | undefined;
    const lazy = (): LazyTensor => (view ??= bufferTensor(dtype, shape, stored()));
    return {
      dtype,
      shape,
      host: tensor,
      work: 0,
      loops: false,
      at: (coordinates) => lazy().at(coordinates),
      get view() {
        return lazy().view;
      },
    };
  }

  /** The tensor's elements on the host. @throws NeedsElements when they must be read first */
  elements(tensor: LazyTensor): HostTensor {
    if (tensor.host !== undefined) return tensor.host;
    const dense = this.dense(tensor);
    const { buffer } = dense.view;
    const known = this.#known.get(buffer.id);
    if (known !== undefined) return { ...known, shape: tensor.shape };
    const read = this.#reads[this.#read];
    if (read === undefined) throw new NeedsElements(buffer, tensor.dtype, tensor.shape);
    this.#read++;
    this.#known.set(buffer.id, read);
    return read;
  }

  /** The tensor as a whole buffer in order, computed now if it is not one yet. */
  dense(tensor: LazyTensor, name = 'copy'): BufferTensor {
    if (isDense(tensor)) return tensor;
    let result = this.#dense.get(tensor);
    if (result === undefined) {
      result = this.compute(name, tensor.dtype, tensor.shape, (coordinates) => tensor.at(coordinates));
      this.#dense.set(tensor, result);
    }
    return result;
  }

  /** A tensor that costs nothing to evaluate again: computed now if it does. */
  settled(tensor: LazyTensor, name: string): LazyTensor {
    return tensor.work === 0 && !tensor.loops ? tensor : this.dense(tensor, name);
  }

  /** Computes every element by itself, now. */
  compute(name: string, dtype: DType, shape: readonly number[], at: (coordinates: Coordinates) => Expression): BufferTensor {
    const output = this.buffer(dtypeBytes(dtype, elementCount(shape)), { kind: 'computed' });
    if (elementCount(shape) > 0) this.emit({ kind: 'map', name, dtype, count: elementCount(shape), value: at(atPosition(shape, position)) }, output);
    return bufferTensor(dtype, shape, output);
  }

  /**
   * A tensor computed element by element from others, when somebody needs it. Inputs are computed first where the expression would grow too large, or
   * where each of their elements would be computed several times.
   */
  fused(name: string, dtype: DType, shape: readonly number[], inputs: readonly LazyTensor[], at: (inputs: readonly LazyTensor[], coordinates: Coordinates) => Expression): LazyTensor {
    const total = elementCount(shape);
    const once = inputs.map((tensor) => (tensor.loops || (tensor.work > 0 && count(tensor) * 2 <= total) ? this.dense(tensor, name) : tensor));
    // Output and uniforms take a binding each.
    const maximumBuffers = this.traits.maximumOperands - 2;
    const lazy = weighedTensor(dtype, shape, (coordinates) => at(once, coordinates));
    if (lazy.weight.nodes <= maximumNodes && lazy.weight.buffers.length <= maximumBuffers) return lazy.tensor;
    const all = once.map((tensor) => this.settled(tensor, name));
    const settled = weighedTensor(dtype, shape, (coordinates) => at(all, coordinates));
    if (settled.weight.buffers.length <= maximumBuffers) return settled.tensor;
    throw new TooManyOperands(all.length);
  }

  /** Adds a generated kernel that writes `output`, in parts where buffers are larger than the device binds. */
  emit(kernel: GeneratedKernel, output: BufferReference): void {
    const parts = splitKernel(kernel, output, this.traits) ?? cannotLower(`an output of ${String(output.bytes)} bytes, written in no order`);
    for (const part of parts) {
      const printed = this.target.language.print(part.kernel, this.traits);
      if (printed.inputs.length + 1 > this.traits.maximumOperands) cannotLower(`${String(printed.inputs.length)} windows of large buffers`);
      this.steps.push({
        kernel: printed.source,
        operands: [
          { buffer: output.id, access: 'write', ...part.output },
          ...printed.inputs.map((buffer) =>
            isWindow(buffer) ? ({ buffer: buffer.window.buffer, access: 'read', offset: buffer.window.offset, size: buffer.bytes } as const) : ({ buffer: buffer.id, access: 'read' } as const),
          ),
        ],
        uniforms: printed.uniforms,
        workgroups: printed.workgroups,
      });
    }
  }

  /** Adds a hand-written program over named buffers. */
  program(program: Program, operands: Readonly<Record<string, BufferReference | BufferWindow>>): void {
    const named: Record<string, BufferReference | BufferWindow> = { ...operands };
    for (const { name, bytes } of program.temporaries) named[name] = this.buffer(bytes, { kind: 'computed' });
    for (const dispatch of program.dispatches) {
      this.steps.push({
        kernel: dispatch.kernel,
        operands: dispatch.operands.map(({ buffer, access, offset, size }) => {
          const reference = named[buffer];
          if (reference === undefined) throw new Error(`kernel ${dispatch.kernel.name} asks for buffer "${buffer}"`);
          return 'buffer' in reference ? { buffer: reference.buffer.id, access, offset: reference.offset + (offset ?? 0), size } : { buffer: reference.id, access, offset, size };
        }),
        uniforms: dispatch.uniforms,
        workgroups: dispatch.workgroups,
      });
    }
  }

  /** A float32 buffer in bfloat16, element by element. */
  narrowed(buffer: BufferReference, { narrow }: Narrowing): BufferReference {
    let narrowed = this.#narrow.get(buffer.id);
    if (narrowed === undefined) {
      const count = buffer.bytes / 4;
      narrowed = this.buffer(8 * Math.ceil(count / 4), { kind: 'computed' });
      this.program(narrow({ count }, this.traits), { x: buffer, y: narrowed });
      this.#narrow.set(buffer.id, narrowed);
    }
    return narrowed;
  }

  /** An uninitialised float32 (or other) output for a program. */
  output(dtype: DType, shape: readonly number[]): BufferTensor {
    return bufferTensor(dtype, shape, this.buffer(dtypeBytes(dtype, elementCount(shape)), { kind: 'computed' }));
  }

  /** A place to return to with `forgetSince`. */
  mark(): number {
    return this.steps.length;
  }

  /** Drops the steps added since, and copies that they would have made. */
  forgetSince(mark: number): void {
    this.steps.length = mark;
    this.#dense.clear();
    this.#narrow.clear();
  }

  /** Keeps small constants at hand on the host. */
  static keepsOnHost(tensor: { readonly shape: readonly number[] }): boolean {
    return elementCount(tensor.shape) <= hostElements;
  }
}

/** A kernel would read more buffers than the device binds. */
export class TooManyOperands extends Error {
  constructor(operands: number) {
    super(`${String(operands)} operands`);
  }
}

/** The only element of a tensor as a literal. */
export function literalOf({ dtype, data }: HostTensor): Expression {
  const type = scalarTypeOf(dtype);
  if (dtype === 'float64') return literal('u64', new BigUint64Array((data as Float64Array).slice(0, 1).buffer)[0]!);
  if (dtype === 'float16') return literal('f32', float16ToFloat32(data as Uint16Array)[0]!);
  if (dtype === 'bfloat16') return literal('f32', bfloat16ToFloat32(data as Uint16Array)[0]!);
  return literal(type, data[0]!);
}

/** One node while it is lowered: its inputs and attributes. */
export class LoweringCall {
  readonly node: GraphNode;
  readonly opset: number;
  readonly graph: Graph;
  readonly lowering: Lowering;
  readonly inputs: readonly (LazyTensor | undefined)[];

  constructor(graph: Graph, node: GraphNode, opset: number, lowering: Lowering, inputs: readonly (LazyTensor | undefined)[]) {
    this.graph = graph;
    this.node = node;
    this.opset = opset;
    this.lowering = lowering;
    this.inputs = inputs;
  }

  get name(): string {
    return this.node.operator;
  }

  fail(problem: string): never {
    throw nodeError(this.graph.name, this.node, problem);
  }

  input(index: number): LazyTensor {
    return this.inputs[index] ?? this.fail(`input ${String(index)} is missing`);
  }

  attribute(name: string): AttributeValue | undefined {
    return this.node.attributes[name];
  }

  number(name: string, fallback: number): number {
    const value = this.node.attributes[name] ?? fallback;
    return typeof value === 'number' ? value : this.fail(`attribute ${name} must be a number`);
  }

  numbers(name: string): readonly number[] | undefined {
    const value = this.node.attributes[name];
    return value === undefined || !Array.isArray(value) ? undefined : (value as readonly number[]);
  }

  text(name: string, fallback: string): string {
    const value = this.node.attributes[name] ?? fallback;
    return typeof value === 'string' ? value : this.fail(`attribute ${name} must be a string`);
  }

  /** The elements of an input as numbers, read from the device if need be. */
  integers(index: number): number[] | undefined {
    const tensor = this.inputs[index];
    if (tensor === undefined) return undefined;
    return Array.from(this.lowering.elements(tensor).data as ArrayLike<number | bigint>, Number);
  }

  /** Integers of an input in newer operator sets, of an attribute in older ones. */
  integersFrom(index: number, attribute: string): readonly number[] | undefined {
    return this.inputs[index] === undefined ? this.numbers(attribute) : this.integers(index);
  }

  axis(value: number, rank: number): number {
    if (value < -rank || value >= rank) this.fail(`axis ${String(value)} is outside a tensor of rank ${String(rank)}`);
    return value < 0 ? value + rank : value;
  }

  wants(output: number): boolean {
    return (this.node.outputs[output] ?? '') !== '';
  }
}

/** The device cannot lower the node as it is; the reason. The node is then computed on the host. */
export class CannotLower extends Error {}

/** Refuses to lower a node here: it will run on the host. */
export function cannotLower(reason: string): never {
  throw new CannotLower(reason);
}

export type OperatorLowering = (call: LoweringCall) => readonly (LazyTensor | undefined)[];

