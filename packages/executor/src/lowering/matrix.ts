import { elementCount } from '@pare/core';
import { strides } from '@pare/operators';
import { add, literal, loop, multiply, scalarTypeOf, size, type Expression } from '../expression/expression.js';
import { atCoordinates } from '../expression/coordinates.js';
import { broadcastShape, computable } from './elementwise.js';
import { count, isDense, sameStrides, type BufferTensor, type LazyTensor } from './lazy-tensor.js';
import { expanded, reshaped, transposed } from './layout.js';
import { cannotLower, type BufferWindow, type LoweringCall, type OperatorLowering } from './lowering.js';
import type { MatMulRequest } from '../routines.js';
import type { BufferReference } from '../expression/expression.js';

/* Matrix products. */

/** A stack of matrices as a product reads it: rows adjacent, or columns (`transposed`). */
interface Stack {
  readonly buffer: BufferReference;
  readonly transposed: boolean;
  /** Elements between matrices along the broadcast batch; 0 when all share one. */
  readonly batchStride: number;
  /** Bytes before the first element. */
  readonly offset?: number;
  /** Elements between lines that lie apart. */
  readonly lineStride?: number;
}

/** A part of a wider matrix, as devices read it that say `spacedProducts`: its lines lie apart. */
function spacedStack(call: LoweringCall, { dtype, shape, view }: LazyTensor): Stack | undefined {
  const { spacedProducts, offsetAlignment } = call.lowering.traits;
  if (spacedProducts !== true || view === undefined || dtype !== 'float32' || shape.length !== 2) return undefined;
  const [rows, columns] = shape as [number, number];
  const [row, column] = view.strides as [number, number];
  const offset = view.offset * 4;
  if (offset % offsetAlignment !== 0) return undefined;
  if (column === 1 && row >= columns) return { buffer: view.buffer, transposed: false, batchStride: 0, offset, lineStride: row };
  if (row === 1 && column >= rows) return { buffer: view.buffer, transposed: true, batchStride: 0, offset, lineStride: column };
  return undefined;
}

/**
 * The operand [batch…, rows, columns] as it lies in its buffer, if products can read it so; else copied. Batches must be evenly spaced or all the same.
 */
function stackOf(call: LoweringCall, tensor: LazyTensor, batch: readonly number[]): Stack {
  const rank = tensor.shape.length;
  const [rows, columns] = tensor.shape.slice(-2) as [number, number];
  const own = tensor.shape.slice(0, -2);
  const batches = elementCount(batch);
  const full = elementCount(own) === batches;
  const { view } = tensor;
  if (view?.offset === 0) {
    const row = view.strides[rank - 2]!;
    const column = view.strides[rank - 1]!;
    const plain = sameStrides([rows, columns], [row, column], [columns, 1]);
    const swapped = sameStrides([rows, columns], [row, column], [1, rows]);
    if (plain || swapped) {
      // Evenly spaced, or one matrix for all.
      const spacing = rows * columns;
      if (batches === 1 || elementCount(own) === 1) return { buffer: view.buffer, transposed: !plain, batchStride: 0 };
      if (full && sameStrides(own, view.strides.slice(0, -2), strides(own).map((stride) => stride * spacing))) return { buffer: view.buffer, transposed: !plain, batchStride: spacing };
    }
  }
  const spaced = batches === 1 ? spacedStack(call, tensor) : undefined;
  if (spaced !== undefined) return spaced;
  if (elementCount(own) === 1) return { buffer: call.lowering.dense(tensor, call.name).view.buffer, transposed: false, batchStride: 0 };
  const whole = full ? tensor : expanded(call, tensor, [...batch, rows, columns]);
  return { buffer: call.lowering.dense(whole, call.name).view.buffer, transposed: false, batchStride: rows * columns };
}

/** Whether a matrix still begins where a binding can once its elements take half as much. */
function isNarrowable({ lowering }: LoweringCall, { offset = 0 }: Stack): boolean {
  return offset % (2 * lowering.traits.offsetAlignment) === 0;
}

function windowOf({ buffer, offset = 0 }: Stack): BufferReference | BufferWindow {
  return offset === 0 ? buffer : { buffer, offset };
}

export interface ProductOptions {
  readonly alpha?: number;
  readonly addend?: { readonly tensor: LazyTensor; readonly beta: number } | undefined;
}

/** a · b by NumPy's rules. */
export function product(call: LoweringCall, a: LazyTensor, b: LazyTensor, options: ProductOptions = {}): LazyTensor {
  if (a.shape.length === 0 || b.shape.length === 0) call.fail('operands of a matrix product must have at least one dimension');
  computable([a, b]);
  let left = a.shape.length === 1 ? reshaped(a, [1, ...a.shape]) : a;
  const right = b.shape.length === 1 ? reshaped(b, [...b.shape, 1]) : b;
  // Rows of all batches are rows of one product when they meet one matrix.
  const merged = elementCount(right.shape.slice(0, -2)) === 1 && left.shape.length > 2 && right.shape.length <= left.shape.length;
  const shape = productShape(call, a, b, left, right);
  if (merged) left = reshaped(isDense(left) ? left : call.lowering.dense(left, call.name), [elementCount(left.shape.slice(0, -1)), left.shape.at(-1)!]);
  const flatRight = merged ? reshaped(right, right.shape.slice(-2)) : right;
  const [m, k] = left.shape.slice(-2) as [number, number];
  const n = flatRight.shape.at(-1)!;
  const batch = broadcastShape(call, [left, flatRight].map(({ shape: all }) => ({ shape: all.slice(0, -2) })));
  const type = scalarTypeOf(a.dtype);
  if (type !== 'f32') {
    const result = integerProduct(call, left, flatRight, [...batch, m, n], k);
    return reshaped(result, shape);
  }
  // Many tiny products: a workgroup for each would idle.
  if (elementCount(batch) > 64 && m * n * k <= 256 && options.addend === undefined) {
    const [x, y] = [call.lowering.settled(left, call.name), call.lowering.settled(flatRight, call.name)];
    const alpha = options.alpha ?? 1;
    const scaled = (element: Expression): Expression => (alpha === 1 ? element : multiply(element, literal('f32', alpha)));
    return reshaped(contraction(call, x, y, [...batch, m, n], k, scaled, (element) => element), shape);
  }
  const wide = (tensor: LazyTensor): LazyTensor =>
    tensor.dtype === 'float32' ? tensor : call.lowering.compute(call.name, 'float32', tensor.shape, (coordinates) => tensor.at(coordinates));
  const stackA = stackOf(call, wide(left), batch);
  const stackB = stackOf(call, wide(flatRight), batch);
  const addend = options.addend === undefined ? undefined : addendOf(call, wide(options.addend.tensor), options.addend.beta);
  const wanted: MatMulRequest = {
    m,
    n,
    k,
    batch: elementCount(batch),
    aBatchStride: stackA.batchStride,
    bBatchStride: stackB.batchStride,
    aLineStride: stackA.lineStride,
    bLineStride: stackB.lineStride,
    transposeA: stackA.transposed,
    transposeB: stackB.transposed,
    alpha: options.alpha ?? 1,
    addend: addend?.strides,
  };
  const result = call.lowering.output('float32', shape);
  if (count(result) > 0) {
    const { matMul, narrowing } = call.lowering.target.routines;
    const pays = narrowing?.pays(wanted) === true && [stackA, stackB].every((stack) => isNarrowable(call, stack));
    const request: MatMulRequest = pays ? { ...wanted, type: 'bfloat16' } : wanted;
    const operand = (stack: Stack): BufferReference | BufferWindow => windowOf(pays ? { ...stack, buffer: call.lowering.narrowed(stack.buffer, narrowing), offset: (stack.offset ?? 0) / 2 } : stack);
    call.lowering.program(matMul(request, call.lowering.traits), {
      a: operand(stackA),
      b: operand(stackB),
      y: result.view.buffer,
      ...(addend === undefined ? {} : { c: addend.buffer }),
    });
  }
  if (a.dtype === 'float32') return result;
  return call.lowering.fused(call.name, a.dtype, shape, [result], ([sum], coordinates) => sum!.at(coordinates));
}

function productShape(call: LoweringCall, a: LazyTensor, b: LazyTensor, left: LazyTensor, right: LazyTensor): number[] {
  const [m, k] = left.shape.slice(-2) as [number, number];
  const n = right.shape.at(-1)!;
  if (right.shape.at(-2) !== k) call.fail(`[${a.shape.join(', ')}] times [${b.shape.join(', ')}]: inner sizes ${String(k)} and ${String(right.shape.at(-2))} differ`);
  const batch = broadcastShape(call, [left, right].map(({ shape }) => ({ shape: shape.slice(0, -2) })));
  return [...batch, ...(a.shape.length === 1 ? [] : [m]), ...(b.shape.length === 1 ? [] : [n])];
}

/** What is added, as a buffer with strides along products, rows and columns. */
function addendOf(call: LoweringCall, tensor: LazyTensor, beta: number): { readonly buffer: BufferReference; readonly strides: NonNullable<MatMulRequest['addend']> } {
  const dense = call.lowering.dense(tensor, call.name);
  const padded = [...new Array<number>(Math.max(0, 3 - dense.shape.length)).fill(1), ...dense.shape].slice(-3);
  const [batchStride, rowStride, columnStride] = strides(padded).map((stride, axis) => (padded[axis] === 1 ? 0 : stride));
  return { buffer: dense.view.buffer, strides: { beta, batchStride: batchStride!, rowStride: rowStride!, columnStride: columnStride! } };
}

/** Products of integers wrap; one invocation an element. */
function integerProduct(call: LoweringCall, a: LazyTensor, b: LazyTensor, shape: readonly number[], k: number): LazyTensor {
  return contraction(call, call.lowering.settled(a, call.name), call.lowering.settled(b, call.name), shape, k, (x) => x, (y) => y, a.dtype);
}

/** Σₖ f(a)·g(b) as a loop an element. */
export function contraction(
  call: LoweringCall,
  a: LazyTensor,
  b: LazyTensor,
  shape: readonly number[],
  k: number,
  left: (element: Expression, row: Expression, batch: readonly Expression[]) => Expression,
  right: (element: Expression, column: Expression, batch: readonly Expression[]) => Expression,
  dtype = a.dtype,
): BufferTensor {
  return call.lowering.compute(call.name, dtype, shape, (coordinates) => {
    const list = coordinates.list();
    const batch = list.slice(0, -2);
    const [row, column] = list.slice(-2) as [Expression, Expression];
    const front = (tensor: LazyTensor): Expression[] => {
      const own = tensor.shape.slice(0, -2);
      return batch.slice(batch.length - own.length);
    };
    return loop('sum', size(k), (counter) =>
      multiply(left(a.at(atCoordinates(a.shape, [...front(a), row, counter])), row, batch), right(b.at(atCoordinates(b.shape, [...front(b), counter, column])), column, batch)),
    );
  });
}

const matMul: OperatorLowering = (call) => [product(call, call.input(0), call.input(1))];

const gemm: OperatorLowering = (call) => {
  const operand = (index: number, name: string): LazyTensor => {
    const tensor = call.input(index);
    if (tensor.shape.length !== 2) call.fail(`operands must be matrices, got [${tensor.shape.join(', ')}]`);
    return call.number(name, 0) === 0 ? tensor : transposed(tensor, [1, 0]);
  };
  const [a, b] = [operand(0, 'transA'), operand(1, 'transB')];
  const c = call.inputs[2];
  const alpha = call.number('alpha', 1);
  const beta = call.number('beta', 1);
  if (scalarTypeOf(a.dtype) !== 'f32') {
    if (alpha !== 1 || beta !== 1) cannotLower('scaled products of integers');
    const result = product(call, a, b);
    return [c === undefined ? result : call.lowering.fused(call.name, a.dtype, result.shape, [result, expanded(call, c, result.shape)], ([x, y], coordinates) => add(x!.at(coordinates), y!.at(coordinates)))];
  }
  return [product(call, a, b, { alpha, addend: c === undefined ? undefined : { tensor: c, beta } })];
};

const fusedMatMul: OperatorLowering = (call) => {
  const operand = (index: number, side: 'A' | 'B'): LazyTensor => {
    const tensor = call.input(index);
    const rank = tensor.shape.length;
    if (rank < 2) return tensor;
    let order = [...tensor.shape.keys()];
    if (call.number(`transBatch${side}`, 0) !== 0) order = [...order.slice(1, -1), 0, rank - 1];
    if (call.number(`trans${side}`, 0) !== 0) order = [...order.slice(0, -2), order.at(-1)!, order.at(-2)!];
    return order.every((axis, index) => axis === index) ? tensor : transposed(tensor, order);
  };
  return [product(call, operand(0, 'A'), operand(1, 'B'), { alpha: call.number('alpha', 1) })];
};

export const matrixLowerings: Readonly<Record<string, OperatorLowering>> = {
  '::MatMul': matMul,
  '::Gemm': gemm,
  'com.microsoft::FusedMatMul': fusedMatMul,
};
