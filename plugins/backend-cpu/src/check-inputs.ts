import { pareError, type Graph, type ValueInfo } from '@pare/core';
import type { DeviceTensor, Dimension } from '@pare/core';
import type { TensorLedger } from './ledger.js';
import { CpuTensor } from './tensor.js';

interface BoundSymbol {
  readonly size: number;
  readonly input: string;
}

/**
 * The tensors for a graph's inputs, in the graph's order.
 * @throws PARE_TENSOR_MISMATCH when one is absent, of another backend, or does not fit its type, its shape or the sizes that other inputs
 *   gave to symbolic dimensions; PARE_TENSOR_DISPOSED.
 */
export function checkInputs(graph: Graph, inputs: Readonly<Record<string, DeviceTensor>>, ledger: TensorLedger, backend: string): CpuTensor[] {
  const symbols = new Map<string, BoundSymbol>();
  return graph.inputs.map((declared) => {
    const tensor = inputs[declared.name];
    const mismatch = (found: string): Error =>
      pareError('PARE_TENSOR_MISMATCH', { graph: graph.name, input: declared.name, found, expected: expectation(declared, symbols) });
    if (tensor === undefined) throw mismatch('nothing');
    if (!(tensor instanceof CpuTensor) || !tensor.belongsTo(ledger)) throw mismatch('a tensor of another backend');
    tensor.use(`graph "${graph.name}", input "${declared.name}"`, backend);
    if (!fits(declared, tensor, symbols)) throw mismatch(`${tensor.dtype} [${tensor.shape.join(', ')}]`);
    return tensor;
  });
}

/** Compares type and shape and remembers the sizes of symbols that are new. */
function fits(declared: ValueInfo, tensor: CpuTensor, symbols: Map<string, BoundSymbol>): boolean {
  if (declared.dtype !== tensor.dtype) return false;
  if (declared.shape === undefined) return true;
  if (declared.shape.length !== tensor.shape.length) return false;
  return declared.shape.every((dimension, axis) => {
    const size = tensor.shape[axis]!;
    if (typeof dimension === 'number') return dimension === size;
    const bound = symbols.get(dimension);
    if (bound === undefined) symbols.set(dimension, { size, input: declared.name });
    return bound === undefined || bound.size === size;
  });
}

function expectation(declared: ValueInfo, symbols: ReadonlyMap<string, BoundSymbol>): string {
  if (declared.shape === undefined) return declared.dtype;
  const elsewhere = (dimension: Dimension): BoundSymbol | undefined => {
    const bound = typeof dimension === 'string' ? symbols.get(dimension) : undefined;
    return bound?.input === declared.name ? undefined : bound;
  };
  const bound = [...new Set(declared.shape)].flatMap((dimension) => {
    const symbol = elsewhere(dimension);
    return symbol === undefined ? [] : [`${String(dimension)} = ${String(symbol.size)} as in input "${symbol.input}"`];
  });
  return `${declared.dtype} [${declared.shape.join(', ')}]${bound.length === 0 ? '' : ` with ${bound.join(', ')}`}`;
}
