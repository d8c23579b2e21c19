import { mergedRows, uniformWords, type Dispatch, type MatMulRequest, type Narrowing, type NarrowRequest, type Operand, type Program, type QuantizedMatMulRequest } from '@pare/executor';
import { productSource, type Addend } from '../device/product.js';
import type { MatrixPlace, ProductPlan } from '../libraries/cublaslt.js';
import type { CudaOptions } from '../options.js';
import { codesRows, codesWiden, matmulFinish, narrow } from './kernels.gen.js';
import { blocks, kernel } from './kernel.js';

/** How products multiply; see the option. */
export type Precision = CudaOptions['precision'];

const activations: Readonly<Record<NonNullable<MatMulRequest['activation']>, number>> = { relu: 1, gelu: 2, 'gelu-tanh': 3, silu: 4 };
/** Multiplications of a product, and for each element of its operands, from which on narrowing them pays on an H100. */
const largeProduct = 2 ** 30;
const reuse = 400;
/** Most rows of a product that reads packed codes by itself. */
const fewRows = 8;
/** Blocks that narrow an array between them, each a part at a time. */
const narrowBlocks = 4096;

const reads = (buffer: string): Operand => ({ buffer, access: 'read' });
const writes = (buffer: string): Operand => ({ buffer, access: 'write' });

/** y = activation(alpha · op(a)·op(b) + beta · c); see `MatMulRequest`. */
export function matMul(request: MatMulRequest, precision: Precision): Program {
  const product = mergedRows(request);
  const { m, n, k, batch, alpha, addend, activation } = product;
  if (m * n * batch === 0) return { temporaries: [], dispatches: [] };
  if (k === 0) return { temporaries: [], dispatches: [finish(product, true)] };
  const kind: Addend = activation === undefined ? addendOf(product) : 'none';
  const y: MatrixPlace = { first: 0, row: n, batchStride: m * n };
  const c = kind === 'matrix' ? { first: 0, row: Math.max(n, addend!.rowStride), batchStride: addend!.batchStride } : y;
  const narrowed = product.type === 'bfloat16';
  const source = productSource(
    {
      ...{ m, n, k, batch, alpha, beta: kind === 'matrix' ? addend!.beta : 0, c, y },
      ...{ transposeA: product.transposeA, transposeB: product.transposeB },
      a: { first: 0, row: product.aLineStride ?? (product.transposeA ? m : k), batchStride: product.aBatchStride },
      b: { first: 0, row: product.bLineStride ?? (product.transposeB ? k : n), batchStride: product.bBatchStride },
      type: narrowed ? 'bfloat16' : 'float32',
      compute: narrowed || precision === 'float32' ? 'float32' : 'tf32',
    },
    kind,
  );
  const multiply: Dispatch = { kernel: source, operands: [reads('a'), reads('b'), ...(kind === 'none' ? [] : [reads('c')]), writes('y')], workgroups: [1, 1, 1] };
  const rest = activation !== undefined || (addend !== undefined && kind === 'none');
  return { temporaries: [], dispatches: [multiply, ...(rest ? [finish(product, false)] : [])] };
}

/** What the library can add by itself. */
function addendOf({ m, n, batch, addend }: MatMulRequest): Addend {
  if (addend === undefined) return 'none';
  const { beta, rowStride, columnStride, batchStride } = addend;
  const shared = batch === 1 || batchStride === 0;
  if (beta === 1 && rowStride === 0 && (columnStride === 1 || n === 1) && shared) return 'bias';
  if ((columnStride === 1 || n === 1) && (rowStride >= n || m === 1) && (batch === 1 || batchStride >= n)) return 'matrix';
  return 'none';
}

/** Products with operands in bfloat16, where the precision asks for them. */
export function narrowingFor(precision: Precision): Narrowing | undefined {
  return precision === 'bfloat16' ? { pays: narrowingPays, narrow: narrowArray } : undefined;
}

/** Large products whose operands are read often enough: narrowing reads and writes each element once, and the buffer may serve several products. */
export function narrowingPays({ m, n, k, batch }: Pick<MatMulRequest, 'm' | 'n' | 'k' | 'batch'>): boolean {
  return m * n * k * batch >= largeProduct && m * n >= reuse * (m + n);
}

function narrowArray({ count }: NarrowRequest): Program {
  const fours = Math.ceil(count / 4);
  const [x] = blocks(fours);
  return {
    temporaries: [],
    dispatches: [{ kernel: kernel('narrow', narrow), operands: [reads('x'), writes('y')], uniforms: uniformWords([fours]), workgroups: [Math.min(x, narrowBlocks), 1, 1] }],
  };
}

/** Adds and activates what y holds, or 0. */
function finish({ m, n, batch, addend, activation }: MatMulRequest, fill: boolean): Dispatch {
  const { beta = 0, rowStride = 0, columnStride = 0, batchStride = 0 } = addend ?? {};
  return {
    kernel: kernel('matmul-finish', matmulFinish, { values: { FILL: Number(fill), ADDEND: Number(addend !== undefined) } }),
    operands: [...(addend === undefined ? [] : [reads('c')]), writes('y')],
    uniforms: uniformWords([m, n, batch, rowStride, columnStride, batchStride, activation === undefined ? 0 : activations[activation], { float: beta }]),
    workgroups: blocks(batch * m * n),
  };
}

/** y = x · dequantize(codes)ᵀ + bias: few rows read the codes by themselves, many meet the weight made wide; see `QuantizedMatMulRequest`. */
export function quantizedMatMul(request: QuantizedMatMulRequest, precision: Precision): Program {
  const { m, n, k, bits, blockSize, zeros, bias } = request;
  if (m * n === 0) return { temporaries: [], dispatches: [] };
  const count = Math.ceil(k / blockSize);
  const uniforms = uniformWords([n, k, blockSize, count, (count * blockSize * bits) / 8, Math.ceil((count * bits) / 8)]);
  const packed = [reads('codes'), reads('scales'), ...(zeros ? [reads('zeros')] : [])];
  if (m <= fewRows) {
    const direct: Dispatch = {
      kernel: kernel('codes-rows', codesRows, { values: { BITS: bits, ROWS: m, ZEROS: Number(zeros), BIAS: Number(bias) } }),
      operands: [reads('x'), ...packed, ...(bias ? [reads('bias')] : []), writes('y')],
      uniforms,
      workgroups: blocks(n, 8),
    };
    return { temporaries: [], dispatches: [direct] };
  }
  const product: MatMulRequest = {
    ...{ m, n, k, batch: 1, aBatchStride: 0, bBatchStride: 0, transposeA: false, transposeB: true, alpha: 1 },
    addend: bias ? { beta: 1, rowStride: 0, columnStride: 1, batchStride: 0 } : undefined,
  };
  const { dispatches } = matMul(product, precision);
  const names: Readonly<Record<string, string>> = { a: 'x', b: 'weight', c: 'bias' };
  const renamed = dispatches.map((dispatch) => ({ ...dispatch, operands: dispatch.operands.map((operand) => ({ ...operand, buffer: names[operand.buffer] ?? operand.buffer })) }));
  if (k === 0) return { temporaries: [], dispatches: renamed };
  const widen: Dispatch = {
    kernel: kernel('codes-widen', codesWiden, { values: { BITS: bits, ZEROS: Number(zeros) } }),
    operands: [...packed, writes('weight')],
    uniforms,
    workgroups: blocks(n * k),
  };
  return { temporaries: [{ name: 'weight', bytes: 4 * n * k }], dispatches: [widen, ...renamed] };
}

/** y [m, n] −= aᵀ·b over k lines in float32: a's lines start at element `aFirst` and are `aRow` apart, b is dense [k, n], y dense from `yFirst` on. */
export function subtractProduct({ m, n, k, aFirst, aRow, yFirst }: { readonly m: number; readonly n: number; readonly k: number; readonly aFirst: number; readonly aRow: number; readonly yFirst: number }, buffers: { readonly a: string; readonly b: string }): Dispatch {
  const y: MatrixPlace = { first: yFirst, row: n, batchStride: 0 };
  const plan: Omit<ProductPlan, 'bias'> = {
    ...{ m, n, k, batch: 1, alpha: -1, beta: 1, transposeA: true, transposeB: false, c: y, y, type: 'float32', compute: 'float32' },
    a: { first: aFirst, row: aRow, batchStride: 0 },
    b: { first: 0, row: n, batchStride: 0 },
  };
  return { kernel: productSource(plan, 'none'), operands: [reads(buffers.a), reads(buffers.b), writes('y')], workgroups: [1, 1, 1] };
}
