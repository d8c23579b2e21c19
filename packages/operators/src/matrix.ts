import { elementCount, type DType, type HostTensor } from '@pare/core';
import { commonType, fail, input, numberAttribute, shapeText, type Call, type Kernel } from './kernel.js';
import { broadcastIndex, broadcastShapes, stridedIndex, strides } from './shape.js';
import { allocateNumbers, bigints, fromBigints, fromNumbers, isBig, isFloat, numbers, takeElements, type Numbers } from './values.js';

/* Matrix products. Sums run over k in order, in float64 for floats and narrow integers (wrapped to the type at the end). */

/** A matrix inside an array: element (i, j) stands at offset + i · rowStep + j · columnStep. */
export interface MatrixView {
  readonly data: Numbers;
  readonly offset: number;
  readonly rowStep: number;
  readonly columnStep: number;
}

/**
 * Adds a·b to `out` [m, n] at `outOffset`: out[i, j] += Σₖ a[i, k] · b[k, j]. Four columns of b at a time are copied side by side, so that the
 * innermost loop reads memory in order whatever the layout of b, and two rows by four columns share its loads.
 */
export function addProduct(a: MatrixView, b: MatrixView, m: number, n: number, k: number, out: Float64Array, outOffset: number): void {
  const panel = new Float64Array(4 * k);
  for (let j = 0; j < n; j += 4) {
    const columns = Math.min(4, n - j);
    for (let c = 0; c < columns; c++) {
      let from = b.offset + (j + c) * b.columnStep;
      for (let p = 0; p < k; p++, from += b.rowStep) panel[4 * p + c] = b.data[from]!;
    }
    for (let i = 0; i < m; i += 2) addTile(a, panel, i, Math.min(2, m - i), k, out, outOffset + i * n + j, n, columns);
  }
}

/** Adds the products of up to two rows of a with up to four columns; what the panel holds beyond them is computed and dropped. */
function addTile(a: MatrixView, panel: Float64Array, i: number, rows: number, k: number, out: Float64Array, target: number, n: number, columns: number): void {
  const left = a.data;
  let s00 = 0;
  let s01 = 0;
  let s02 = 0;
  let s03 = 0;
  let s10 = 0;
  let s11 = 0;
  let s12 = 0;
  let s13 = 0;
  let row0 = a.offset + i * a.rowStep;
  let row1 = rows === 2 ? row0 + a.rowStep : row0;
  for (let p = 0; p < 4 * k; p += 4) {
    const x0 = left[row0]!;
    const x1 = left[row1]!;
    const y0 = panel[p]!;
    const y1 = panel[p + 1]!;
    const y2 = panel[p + 2]!;
    const y3 = panel[p + 3]!;
    s00 += x0 * y0;
    s01 += x0 * y1;
    s02 += x0 * y2;
    s03 += x0 * y3;
    s10 += x1 * y0;
    s11 += x1 * y1;
    s12 += x1 * y2;
    s13 += x1 * y3;
    row0 += a.columnStep;
    row1 += a.columnStep;
  }
  out[target]! += s00;
  if (columns > 1) out[target + 1]! += s01;
  if (columns > 2) out[target + 2]! += s02;
  if (columns > 3) out[target + 3]! += s03;
  if (rows === 1) return;
  out[target + n]! += s10;
  if (columns > 1) out[target + n + 1]! += s11;
  if (columns > 2) out[target + n + 2]! += s12;
  if (columns > 3) out[target + n + 3]! += s13;
}

/** The parts of a batched product, NumPy's matmul rules: 1-D operands become a row or a column and lose that dimension again. */
export interface BatchedProduct {
  readonly shape: readonly number[];
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** First element of each batch's matrix. */
  readonly aOffsets: Int32Array;
  readonly bOffsets: Int32Array;
}

export function planProduct(call: Call, aShape: readonly number[], bShape: readonly number[]): BatchedProduct {
  if (aShape.length === 0 || bShape.length === 0) fail(call, 'operands of a matrix product must have at least one dimension');
  const a = aShape.length === 1 ? [1, ...aShape] : aShape;
  const b = bShape.length === 1 ? [...bShape, 1] : bShape;
  const m = a.at(-2)!;
  const k = a.at(-1)!;
  const n = b.at(-1)!;
  if (b.at(-2) !== k) fail(call, `${shapeText(aShape)} times ${shapeText(bShape)}: inner sizes ${String(k)} and ${String(b.at(-2))} differ`);
  const aBatch = a.slice(0, -2);
  const bBatch = b.slice(0, -2);
  const batch = broadcastShapes([aBatch, bBatch]) ?? fail(call, `batch dimensions of ${shapeText(aShape)} and ${shapeText(bShape)} do not broadcast`);
  const offsets = (shape: readonly number[], size: number): Int32Array =>
    (broadcastIndex(shape, batch) ?? Int32Array.from({ length: elementCount(batch) }, (_, index) => index)).map((index) => index * size);
  return {
    shape: [...batch, ...(aShape.length === 1 ? [] : [m]), ...(bShape.length === 1 ? [] : [n])],
    m,
    n,
    k,
    aOffsets: offsets(aBatch, m * k),
    bOffsets: offsets(bBatch, k * n),
  };
}

/** a · b for row-major operands of any number type, in float64. */
export function batchedProduct(plan: BatchedProduct, a: Numbers, b: Numbers): Float64Array {
  const { m, n, k } = plan;
  const out = new Float64Array(plan.aOffsets.length * m * n);
  for (let batch = 0; batch < plan.aOffsets.length; batch++) {
    addProduct(
      { data: a, offset: plan.aOffsets[batch]!, rowStep: k, columnStep: 1 },
      { data: b, offset: plan.bOffsets[batch]!, rowStep: n, columnStep: 1 },
      m,
      n,
      k,
      out,
      batch * m * n,
    );
  }
  return out;
}

/** The same for 64-bit integers, and for 32-bit ones, whose products exceed a double. Wraps modulo 2^64. */
function batchedBigProduct(plan: BatchedProduct, a: HostTensor, b: HostTensor): BigInt64Array {
  const { m, n, k } = plan;
  const left = bigints(a);
  const right = bigints(b);
  const out = new BigInt64Array(plan.aOffsets.length * m * n);
  for (let batch = 0; batch < plan.aOffsets.length; batch++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0n;
        for (let p = 0; p < k; p++) sum += left[plan.aOffsets[batch]! + i * k + p]! * right[plan.bOffsets[batch]! + p * n + j]!;
        out[(batch * m + i) * n + j] = sum;
      }
    }
  }
  return out;
}

function product(call: Call, a: HostTensor, b: HostTensor, alpha: number): HostTensor {
  const dtype = commonType(call, [a, b]);
  const plan = planProduct(call, a.shape, b.shape);
  if (!isFloat(dtype)) {
    const exact = batchedBigProduct(plan, a, b);
    return isBig(dtype)
      ? fromBigints(dtype, plan.shape, exact)
      : fromNumbers(
          dtype,
          plan.shape,
          Int32Array.from(exact, (value) => Number(BigInt.asIntN(32, value))),
        );
  }
  const out = batchedProduct(plan, numbers(a), numbers(b));
  if (alpha !== 1) for (let index = 0; index < out.length; index++) out[index]! *= alpha;
  return fromNumbers(dtype, plan.shape, out);
}

const matMul: Kernel = (call) => [product(call, input(call, 0), input(call, 1), 1)];

/** The tensor with its axes in another order. */
export function permute(tensor: HostTensor, order: readonly number[]): HostTensor {
  const shape = order.map((axis) => tensor.shape[axis]!);
  const steps = strides(tensor.shape);
  return takeElements(
    tensor,
    stridedIndex(
      shape,
      order.map((axis) => steps[axis]!),
    ),
    shape,
  );
}

/** alpha · A · B with either operand's last two axes swapped (trans) or its first axis moved before the last (transBatch). */
const fusedMatMul: Kernel = (call) => {
  const operand = (position: number, side: 'A' | 'B'): HostTensor => {
    const tensor = input(call, position);
    const rank = tensor.shape.length;
    if (rank < 2) return tensor;
    let order = [...tensor.shape.keys()];
    if (numberAttribute(call, `transBatch${side}`, 0) !== 0) order = [...order.slice(1, -1), 0, rank - 1];
    if (numberAttribute(call, `trans${side}`, 0) !== 0) order = [...order.slice(0, -2), order.at(-1)!, order.at(-2)!];
    return order.every((axis, index) => axis === index) ? tensor : permute(tensor, order);
  };
  return [product(call, operand(0, 'A'), operand(1, 'B'), numberAttribute(call, 'alpha', 1))];
};

/** alpha · A' · B' + beta · C, where ' transposes on request and C broadcasts to [M, N]. */
const gemm: Kernel = (call) => {
  const a = input(call, 0);
  const b = input(call, 1);
  const dtype: DType = commonType(call, [a, b]);
  if (a.shape.length !== 2 || b.shape.length !== 2) fail(call, `operands must be matrices, got ${shapeText(a.shape)} and ${shapeText(b.shape)}`);
  const [aRows, aColumns] = a.shape as [number, number];
  const [bRows, bColumns] = b.shape as [number, number];
  const transA = numberAttribute(call, 'transA', 0) !== 0;
  const transB = numberAttribute(call, 'transB', 0) !== 0;
  const m = transA ? aColumns : aRows;
  const k = transA ? aRows : aColumns;
  const n = transB ? bRows : bColumns;
  if (k !== (transB ? bColumns : bRows)) fail(call, `inner sizes of ${shapeText(a.shape)} and ${shapeText(b.shape)} differ`);
  const out = new Float64Array(m * n);
  addProduct(
    { data: numbers(a), offset: 0, rowStep: transA ? 1 : aColumns, columnStep: transA ? aColumns : 1 },
    { data: numbers(b), offset: 0, rowStep: transB ? 1 : bColumns, columnStep: transB ? bColumns : 1 },
    m,
    n,
    k,
    out,
    0,
  );
  const alpha = numberAttribute(call, 'alpha', 1);
  const beta = numberAttribute(call, 'beta', 1);
  const c = call.inputs[2];
  const result = allocateNumbers(dtype, out.length);
  if (c === undefined) {
    for (let index = 0; index < out.length; index++) result[index] = alpha * out[index]!;
  } else {
    if (broadcastShapes([c.shape, [m, n]])?.join() !== [m, n].join()) fail(call, `C ${shapeText(c.shape)} does not broadcast to [${String(m)}, ${String(n)}]`);
    const bias = numbers(c);
    const from = broadcastIndex(c.shape, [m, n]);
    for (let index = 0; index < out.length; index++) result[index] = alpha * out[index]! + beta * bias[from?.[index] ?? index]!;
  }
  return [fromNumbers(dtype, [m, n], result)];
};

export const matrix: readonly (readonly [string, Kernel])[] = [
  ['::MatMul', matMul],
  ['::Gemm', gemm],
  ['com.microsoft::FusedMatMul', fusedMatMul],
];
