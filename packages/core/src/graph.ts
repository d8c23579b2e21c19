import { viewAs, type DType } from './dtype.js';
import { elementCount, hostTensor, type HostTensor } from './tensor.js';

/** A dimension: a size, or the name of a size known only when the graph runs. */
export type Dimension = number | string;

/** Type and shape of a graph's value. `shape` is undefined while the rank is unknown. */
export interface ValueType {
  readonly dtype: DType;
  readonly shape: readonly Dimension[] | undefined;
}

/** A named input or output of a graph. */
export interface ValueInfo extends ValueType {
  readonly name: string;
}

/** Attribute values of ONNX nodes. Integers are numbers, `tensor` attributes host tensors, sub-graphs are not used. */
export type AttributeValue = number | string | readonly number[] | readonly string[] | HostTensor;

/** One application of an operator. An absent optional input or output is the empty string. */
export interface GraphNode {
  /** Operator type as ONNX spells it: `MatMul`. */
  readonly operator: string;
  /** Operator set; the empty string is ONNX's own. */
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}

/** A constant whose bytes are fetched only when needed, so that a graph can describe a model larger than memory. */
export interface LazyTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Little-endian bytes, row-major, exactly the tensor's size. */
  read(): Promise<Uint8Array>;
}

/** A constant of a graph. */
export type Initializer = HostTensor | LazyTensor;

/**
 * A typed dataflow graph whose operators are ONNX's. Plain data: nodes are in topological order, every value name is produced once, and
 * transformations (folding, gradients, fusion) are functions from graph to graph. `@pare/graph` builds, checks, reads and writes them.
 */
export interface Graph {
  readonly name: string;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly initializers: ReadonlyMap<string, Initializer>;
  readonly nodes: readonly GraphNode[];
  /** Operator set versions by domain: `{ '': 21, 'com.microsoft': 1 }`. */
  readonly opsets: Readonly<Record<string, number>>;
}

/** True for a constant held in memory, false for one fetched on demand. */
export function isHostInitializer(initializer: Initializer): initializer is HostTensor {
  return 'data' in initializer;
}

/** A constant in memory: itself, or fetched now. */
export async function readInitializer(initializer: Initializer): Promise<HostTensor> {
  if (isHostInitializer(initializer)) return initializer;
  const { dtype, shape } = initializer;
  const bytes = await initializer.read();
  return hostTensor(dtype, shape, viewAs(dtype, bytes.buffer, bytes.byteOffset, elementCount(shape)));
}
