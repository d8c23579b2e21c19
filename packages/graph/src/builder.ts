import {
  elementCount,
  hostTensor,
  int64Tensor,
  pareError,
  tensorBytes,
  toBfloat16Bits,
  toFloat16Bits,
  type AttributeValue,
  type Dimension,
  type DType,
  type Graph,
  type GraphNode,
  type HostTensor,
  type Initializer,
  type ValueInfo,
  type ValueType,
} from '@pare/core';
import { inferNode } from './infer-node.js';
import { symbolMaker, typeOfInitializer } from './infer-types.js';
import { canonicalDomain } from './operators/operator-key.js';
import { nodeError, type TypedValue } from './operators/schema.js';
import { isSupportedOperator } from './operators/table.js';
import { onnxTypeCode } from './types/element-type.js';

/** A value of a graph under construction. It belongs to the builder that made it. */
export interface Value {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly Dimension[] | undefined;
}

export interface NodeOptions {
  readonly domain?: string | undefined;
  /** Number of outputs; 1 by default. */
  readonly outputs?: number | undefined;
  /** Name of the node and stem of its outputs' names. */
  readonly name?: string | undefined;
  /** Types to take instead of inferred ones; required for operators outside the subset. */
  readonly outputTypes?: readonly ValueType[] | undefined;
}

export interface GraphBuilderOptions {
  /** Operator set versions by domain, `{ '': 21 }` by default. Other domains are added at version 1 when used. */
  readonly opsets?: Readonly<Record<string, number>> | undefined;
}

/** Constants up to this many bytes are shared by value. */
const deduplicatedBytes = 4096;

/**
 * Builds a graph node by node; every node's types and shapes are inferred, and errors raised, where it is added.
 *
 * Formulae of a block read like the block: `const y = b.add(b.matmul(x, w), bias)`.
 */
export class GraphBuilder {
  readonly name: string;
  readonly #opsets: Record<string, number>;
  readonly #inputs: ValueInfo[] = [];
  readonly #initializers = new Map<string, Initializer>();
  readonly #nodes: GraphNode[] = [];
  readonly #outputs: { value: Value; name: string }[] = [];
  readonly #values = new Map<string, { handle: Value; typed: TypedValue }>();
  readonly #constants = new Map<string, Value>();
  readonly #counters = new Map<string, number>();
  readonly #symbol = symbolMaker([]);

  constructor(name: string, options: GraphBuilderOptions = {}) {
    this.name = name;
    this.#opsets = { ...(options.opsets ?? { '': 21 }) };
  }

  /** Declares a graph input. Dimensions are sizes or names of sizes. */
  input(name: string, dtype: DType, shape: readonly Dimension[]): Value {
    for (const dimension of shape) {
      if (typeof dimension === 'number' && (!Number.isInteger(dimension) || dimension < 0)) this.#fail(`input "${name}"`, `has size ${String(dimension)}`);
    }
    const value = this.#register(name, { dtype, shape: [...shape] });
    this.#inputs.push({ name, dtype, shape: [...shape] });
    return value;
  }

  /** Adds a named constant, such as a weight. */
  initializer(name: string, tensor: Initializer): Value {
    const value = this.#register(name, typeOfInitializer(tensor));
    this.#initializers.set(name, tensor);
    return value;
  }

  /** Adds a constant; equal small ones are one value. */
  constant(tensor: HostTensor, name?: string): Value {
    if (name !== undefined) return this.initializer(name, tensor);
    if (tensorBytes(tensor) > deduplicatedBytes) return this.initializer(this.#fresh('constant'), tensor);
    const bytes = new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
    const key = `${tensor.dtype}[${tensor.shape.join()}]${String.fromCharCode(...bytes)}`;
    let value = this.#constants.get(key);
    if (value === undefined) {
      value = this.initializer(this.#fresh('constant'), tensor);
      this.#constants.set(key, value);
    }
    return value;
  }

  /** A constant of shape []. */
  scalar(value: number, dtype: DType = 'float32'): Value {
    return this.constant(filledTensor(dtype, [], value));
  }

  /** A 1-D int64 constant. */
  int64(values: readonly number[]): Value {
    return this.constant(int64Tensor([values.length], values));
  }

  /**
   * Adds a node and infers its outputs. An absent optional input is `undefined`.
   * @throws PARE_GRAPH_INVALID naming the node and the rule it breaks.
   */
  node(operator: string, inputs: readonly (Value | undefined)[], attributes: Readonly<Record<string, AttributeValue>> = {}, options: NodeOptions = {}): Value[] {
    const domain = canonicalDomain(options.domain ?? '');
    const name = options.name ?? this.#fresh(operator);
    const count = options.outputs ?? 1;
    const outputs = Array.from({ length: count }, (_, index) => this.#unused(count === 1 ? name : `${name}_${String(index)}`));
    const given = [...inputs];
    while (given.length > 0 && given.at(-1) === undefined) given.pop();
    const node: GraphNode = { operator, domain, name, inputs: given.map((input) => input?.name ?? ''), outputs, attributes: { ...attributes } };
    const typedInputs = given.map((input) => (input === undefined ? undefined : this.#typed(input, node)));
    const types = this.#outputTypes(node, typedInputs, options);
    this.#nodes.push(node);
    if (this.#opsets[domain] === undefined) this.#opsets[domain] = domain === '' ? 21 : 1;
    return outputs.map((output, index) => this.#register(output, types[index]!));
  }

  /** Adds a node with one output and returns that. */
  op(operator: string, inputs: readonly (Value | undefined)[], attributes: Readonly<Record<string, AttributeValue>> = {}, options: NodeOptions = {}): Value {
    return this.node(operator, inputs, attributes, { ...options, outputs: 1 })[0]!;
  }

  /** Declares a graph output. With `name` the value gets that name; a value that is an input, a constant or an output already is copied. */
  output(value: Value, name: string = value.name): Value {
    this.#owned(value, `output "${name}"`);
    if (this.#outputs.some((output) => output.name === name)) this.#fail(`output "${name}"`, 'is declared twice');
    if (name !== value.name && this.#values.has(name)) this.#fail(`output "${name}"`, 'has the name of another value');
    const produced = this.#nodes.some((node) => node.outputs.includes(value.name));
    const taken = this.#outputs.some((output) => output.value === value);
    if (!produced || taken) {
      if (name === value.name) name = this.#fresh(`${name}_output`);
      const copy = this.op('Identity', [value], {}, { name });
      this.#outputs.push({ value: copy, name });
      return copy;
    }
    if (name !== value.name) this.#values.set(name, this.#values.get(value.name)!);
    this.#outputs.push({ value, name });
    return value;
  }

  /** The graph so far. */
  build(): Graph {
    const renamed = new Map(this.#outputs.map((output) => [output.value.name, output.name]));
    const rename = (name: string): string => renamed.get(name) ?? name;
    return {
      name: this.name,
      inputs: [...this.#inputs],
      outputs: this.#outputs.map(({ value, name }) => ({ name, dtype: value.dtype, shape: value.shape })),
      initializers: new Map(this.#initializers),
      nodes: this.#nodes.map((node) => ({ ...node, inputs: node.inputs.map(rename), outputs: node.outputs.map(rename) })),
      opsets: { ...this.#opsets },
    };
  }

  /** The handle of a named value, or undefined. */
  value(name: string): Value | undefined {
    return this.#values.get(name)?.handle;
  }

  /** The name itself, or with a number behind it when a value has it already. */
  unusedName(name: string): string {
    return this.#unused(name);
  }

  /** Operator set versions by domain. */
  get opsets(): Readonly<Record<string, number>> {
    return { ...this.#opsets };
  }

  /** Declares the version of an operator set that has none yet. */
  useOpset(domain: string, version: number): void {
    this.#opsets[domain] ??= version;
  }

  // Arithmetic, with broadcasting. A number stands for a scalar constant of the other operand's type.

  add(left: Value | number, right: Value | number): Value {
    return this.#binary('Add', left, right);
  }

  sub(left: Value | number, right: Value | number): Value {
    return this.#binary('Sub', left, right);
  }

  mul(left: Value | number, right: Value | number): Value {
    return this.#binary('Mul', left, right);
  }

  div(left: Value | number, right: Value | number): Value {
    return this.#binary('Div', left, right);
  }

  pow(base: Value | number, exponent: Value | number): Value {
    return this.#binary('Pow', base, exponent);
  }

  equal(left: Value | number, right: Value | number): Value {
    return this.#binary('Equal', left, right);
  }

  less(left: Value | number, right: Value | number): Value {
    return this.#binary('Less', left, right);
  }

  lessOrEqual(left: Value | number, right: Value | number): Value {
    return this.#binary('LessOrEqual', left, right);
  }

  greater(left: Value | number, right: Value | number): Value {
    return this.#binary('Greater', left, right);
  }

  greaterOrEqual(left: Value | number, right: Value | number): Value {
    return this.#binary('GreaterOrEqual', left, right);
  }

  and(left: Value, right: Value): Value {
    return this.op('And', [left, right]);
  }

  or(left: Value, right: Value): Value {
    return this.op('Or', [left, right]);
  }

  not(value: Value): Value {
    return this.op('Not', [value]);
  }

  neg(value: Value): Value {
    return this.op('Neg', [value]);
  }

  sqrt(value: Value): Value {
    return this.op('Sqrt', [value]);
  }

  exp(value: Value): Value {
    return this.op('Exp', [value]);
  }

  log(value: Value): Value {
    return this.op('Log', [value]);
  }

  tanh(value: Value): Value {
    return this.op('Tanh', [value]);
  }

  sigmoid(value: Value): Value {
    return this.op('Sigmoid', [value]);
  }

  erf(value: Value): Value {
    return this.op('Erf', [value]);
  }

  relu(value: Value): Value {
    return this.op('Relu', [value]);
  }

  // Products.

  /** [..., M, K] · [..., K, N]. */
  matmul(left: Value, right: Value): Value {
    return this.op('MatMul', [left, right]);
  }

  /** alpha · A' · B' + beta · C of matrices, A' being A or its transpose. */
  gemm(a: Value, b: Value, c?: Value, options: { transA?: boolean; transB?: boolean; alpha?: number; beta?: number } = {}): Value {
    const attributes: Record<string, number> = {};
    if (options.transA === true) attributes['transA'] = 1;
    if (options.transB === true) attributes['transB'] = 1;
    if (options.alpha !== undefined) attributes['alpha'] = options.alpha;
    if (options.beta !== undefined) attributes['beta'] = options.beta;
    return this.op('Gemm', [a, b, c], attributes);
  }

  // Shapes.

  transpose(value: Value, perm: readonly number[]): Value {
    return this.op('Transpose', [value], { perm });
  }

  /** Sizes are numbers (−1: the rest, 0: as it was) or 1-D int64 values that stand for one or more sizes. */
  reshape(value: Value, dims: Value | readonly (number | Value)[]): Value {
    return this.op('Reshape', [value, this.shapeVector(dims)]);
  }

  /** One 1-D int64 value from sizes and 1-D values; a constant when all are numbers. */
  shapeVector(dims: Value | readonly (number | Value)[]): Value {
    if (!Array.isArray(dims)) return dims as Value;
    const list = dims as readonly (number | Value)[];
    const parts: Value[] = [];
    let run: number[] = [];
    const flush = (): void => {
      if (run.length > 0) parts.push(this.int64(run));
      run = [];
    };
    for (const dim of list) {
      if (typeof dim === 'number') run.push(dim);
      else {
        flush();
        parts.push(dim);
      }
    }
    flush();
    if (parts.length === 0) return this.int64([]);
    return parts.length === 1 ? parts[0]! : this.concat(parts, 0);
  }

  concat(values: readonly Value[], axis: number): Value {
    return this.op('Concat', values, { axis });
  }

  split(value: Value, axis: number, sizes: readonly number[]): Value[] {
    return this.node('Split', [value, this.int64(sizes)], { axis }, { outputs: sizes.length });
  }

  /** Elements [start, end) of one axis; ends are numbers or 1-D values of one element. Without `end`, to the end. */
  slice(value: Value, axis: number, start: number | Value, end: number | Value = Number.MAX_SAFE_INTEGER): Value {
    const list = (bound: number | Value): Value => (typeof bound === 'number' ? this.int64([bound]) : bound);
    return this.op('Slice', [value, list(start), list(end), this.int64([axis])]);
  }

  gather(value: Value, indices: Value, axis = 0): Value {
    return this.op('Gather', [value, indices], { axis });
  }

  unsqueeze(value: Value, axes: readonly number[]): Value {
    return this.op('Unsqueeze', [value, this.int64(axes)]);
  }

  squeeze(value: Value, axes: readonly number[]): Value {
    return this.op('Squeeze', [value, this.int64(axes)]);
  }

  /** Broadcasts to a shape given as for `reshape`. */
  expand(value: Value, shape: Value | readonly (number | Value)[]): Value {
    return this.op('Expand', [value, this.shapeVector(shape)]);
  }

  /** The shape as a 1-D int64 value, or the part [start, end) of it. */
  shapeOf(value: Value, start?: number, end?: number): Value {
    return this.op('Shape', [value], { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }) });
  }

  // Along axes.

  reduceSum(value: Value, axes?: readonly number[], keepDims = false): Value {
    return this.#reduce('ReduceSum', value, axes, keepDims);
  }

  reduceMean(value: Value, axes?: readonly number[], keepDims = false): Value {
    return this.#reduce('ReduceMean', value, axes, keepDims);
  }

  reduceMax(value: Value, axes?: readonly number[], keepDims = false): Value {
    return this.#reduce('ReduceMax', value, axes, keepDims);
  }

  softmax(value: Value, axis = -1): Value {
    return this.op('Softmax', [value], { axis });
  }

  // Types and choices.

  /** The value itself when it has the type already. */
  cast(value: Value, dtype: DType): Value {
    return value.dtype === dtype ? value : this.op('Cast', [value], { to: onnxTypeCode(dtype) });
  }

  where(condition: Value, whenTrue: Value | number, whenFalse: Value | number): Value {
    const dtype = typeof whenTrue === 'number' ? (typeof whenFalse === 'number' ? 'float32' : whenFalse.dtype) : whenTrue.dtype;
    return this.op('Where', [condition, this.#operand(whenTrue, dtype), this.#operand(whenFalse, dtype)]);
  }

  #binary(operator: string, left: Value | number, right: Value | number): Value {
    const dtype = typeof left === 'number' ? (typeof right === 'number' ? 'float32' : right.dtype) : left.dtype;
    return this.op(operator, [this.#operand(left, dtype), this.#operand(right, dtype)]);
  }

  #operand(operand: Value | number, dtype: DType): Value {
    return typeof operand === 'number' ? this.scalar(operand, dtype) : operand;
  }

  #reduce(operator: string, value: Value, axes: readonly number[] | undefined, keepDims: boolean): Value {
    return this.op(operator, [value, axes === undefined ? undefined : this.int64(axes)], { keepdims: keepDims ? 1 : 0 });
  }

  #outputTypes(node: GraphNode, inputs: readonly (TypedValue | undefined)[], options: NodeOptions): TypedValue[] {
    const declared = options.outputTypes;
    if (declared !== undefined && declared.length !== node.outputs.length) throw nodeError(this.name, node, `outputTypes names ${String(declared.length)} outputs of ${String(node.outputs.length)}`);
    if (declared !== undefined && !isSupportedOperator(node.operator, node.domain)) return [...declared];
    const opset = this.#opsets[node.domain] ?? 1;
    const inferred = inferNode(node, inputs, { graph: this.name, opset, symbol: this.#symbol });
    return inferred.map((type, index) => (declared?.[index] === undefined ? type! : { ...type!, ...declared[index] }));
  }

  #register(name: string, typed: TypedValue): Value {
    if (name === '') this.#fail('value', 'has an empty name');
    if (this.#values.has(name)) this.#fail(`value "${name}"`, 'exists already');
    const handle: Value = { name, dtype: typed.dtype, shape: typed.shape };
    this.#values.set(name, { handle, typed });
    return handle;
  }

  #typed(value: Value, node: GraphNode): TypedValue {
    const entry = this.#values.get(value.name);
    if (entry?.handle !== value) throw nodeError(this.name, node, `input "${value.name}" was made by another builder`);
    return entry.typed;
  }

  #owned(value: Value, what: string): void {
    if (this.#values.get(value.name)?.handle !== value) this.#fail(what, `"${value.name}" was made by another builder`);
  }

  /** A name that no value has, from a counter for each stem. */
  #fresh(stem: string): string {
    for (;;) {
      const count = (this.#counters.get(stem) ?? 0) + 1;
      this.#counters.set(stem, count);
      const name = `${stem}_${String(count)}`;
      if (!this.#values.has(name)) return name;
    }
  }

  #unused(name: string): string {
    return this.#values.has(name) ? this.#fresh(name) : name;
  }

  #fail(node: string, problem: string): never {
    throw pareError('PARE_GRAPH_INVALID', { graph: this.name, node, problem });
  }
}

/** A tensor whose elements are all `value`, rounded to the type. */
export function filledTensor(dtype: DType, shape: readonly number[], value: number): HostTensor {
  const tensor = hostTensor(dtype, shape);
  const data = tensor.data;
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) data.fill(BigInt(value));
  else if (dtype === 'float16') data.fill(toFloat16Bits(value));
  else if (dtype === 'bfloat16') data.fill(toBfloat16Bits(value));
  else if (dtype === 'int4' || dtype === 'uint4') {
    const nibble = value & 15;
    data.fill(nibble | (nibble << 4));
    if (elementCount(shape) % 2 === 1) data[data.length - 1] = nibble;
  } else data.fill(value);
  return tensor;
}
