import { codeField, createDeviceColumnSolver, uniformWords, type ColumnSolverKernels, type DevicePrograms, type Dispatch, type Float, type KernelSource, type Operand, type Program, type ResidentKernels } from '@pare/executor';
import type { DType } from '@pare/core';
import type { ColumnSolver, ColumnSolverOptions, GroupPlan, SweepQuantizer } from '@pare/solvers';
import type { ScaleType } from '@pare/weights';
import { factorBand, factorCorner, factorDiagonal, factorPanel, factorTrailing, factorUpper, gramDiagonal, gramLoad, sweepColumns, sweepGrid, sweepLoad, sweepPack, sweepWiden } from './kernels.gen.js';
import { blocks, kernel } from './kernel.js';
import { productSource } from '../device/product.js';
import type { MatrixPlace, ProductPlan } from '../libraries/cublaslt.js';
import { subtractProduct } from './matmul.js';

/** Rows and columns of a block of the factorization, as in factor-*.cu. */
const factorBlock = 32;
/** Rows and columns of a tile of factor-trailing.cu. */
const factorTile = 64;
/** Rows and columns that are factorized by kernels alone; beyond them the work is in products of the library. */
const factorPart = 512;
/** Columns of what is left that a product updates: wide enough for the library, narrow enough that little above the diagonal is computed. */
const factorStrip = 2048;
/** Most columns that are settled between two products, as in sweep-columns.cu. */
const sweepBlock = 64;
const scaleTypes: Readonly<Record<ScaleType, number>> = { float32: 0, float16: 1, bfloat16: 2 };

const reads = (buffer: string): Operand => ({ buffer, access: 'read' });
const writes = (buffer: string): Operand => ({ buffer, access: 'write' });

function dispatch(source: KernelSource, operands: readonly Operand[], words: readonly (number | Float)[], workgroups: Dispatch['workgroups']): Dispatch {
  return { kernel: source, operands, uniforms: uniformWords(words), workgroups };
}

const program = (dispatches: readonly Dispatch[]): Program => ({ temporaries: [], dispatches });

/** A column solver on a device: the factorization in float64, sweeps in float32 as the other solvers do, with the quantizer's grids and divisions in float64. */
export function createCudaColumnSolver(device: DevicePrograms, options: ColumnSolverOptions = {}): ColumnSolver {
  return createDeviceColumnSolver(device, columnSolverKernels, options);
}

/** The programs of the column solver. */
export const columnSolverKernels: ColumnSolverKernels = {
  entryBytes: 8,
  encode: (values) => values,
  scratch: (size) => ({
    ...{ panel: Math.max(1, size) * factorBlock * 8, inverse: factorBlock * factorBlock * 8 },
    ...(size > factorPart ? { corner: factorPart * factorPart * 8, below: size * factorPart * 8, band: size * factorPart * 8 } : {}),
  }),
  factorize: (size) => factorize(size),
  invert: (size) => program([dispatch(kernel('factor-upper', factorUpper), [reads('matrix'), writes('upper')], [size], blocks(size * size))]),
  blockColumns: sweepBlock,
  sweep,
  resident: residentKernels(),
};

/**
 * A = L·Lᵀ and L⁻¹ in the place of A, part after part: a part's diagonal block is factorized and inverted by kernels; the panel P = A·L_pp⁻ᵀ below it, the finished rows
 * M = L_pp⁻¹·X of the inverse to its left and what follows from them below (A −= P·Pᵀ, X −= P·M, X_p = −P·L_pp⁻¹) are products in float64. Buffers `matrix`, `status`, and those of `scratch`.
 * @param part columns that kernels factorize alone
 * @param width columns of what is left that a product updates
 */
export function factorize(size: number, part = factorPart, width = factorStrip): Program {
  const dispatches: Dispatch[] = [];
  for (let first = 0; first < size; first += part) {
    const count = Math.min(part, size - first);
    const end = first + count;
    dispatches.push(...factorizePart(size, first, count));
    if (size <= part) break;
    dispatches.push(dispatch(kernel('factor-corner', factorCorner), [reads('matrix'), writes('corner')], [size, first, count], blocks(count * count)));
    const [left, below, corner, band] = [place(size), place(count), place(count), place(Math.max(1, first))];
    if (end < size) dispatches.push(product({ m: size - end, n: count, k: count, transposeB: true, alpha: 1, beta: 0 }, ['matrix', left(end, first)], ['corner', corner(0, 0)], ['below', below(0, 0)]));
    if (first > 0) {
      dispatches.push(product({ m: count, n: first, k: count, transposeB: false, alpha: 1, beta: 0 }, ['corner', corner(0, 0)], ['matrix', left(first, 0)], ['band', band(0, 0)]));
      dispatches.push(dispatch(kernel('factor-band', factorBand), [reads('band'), writes('matrix')], [size, first, count], blocks(count * first)));
    }
    if (end === size) break;
    if (first > 0) dispatches.push(product({ m: size - end, n: first, k: count, transposeB: false, alpha: -1, beta: 1 }, ['below', below(0, 0)], ['band', band(0, 0)], ['matrix', left(end, 0)]));
    dispatches.push(product({ m: size - end, n: count, k: count, transposeB: false, alpha: -1, beta: 0 }, ['below', below(0, 0)], ['corner', corner(0, 0)], ['matrix', left(end, first)]));
    for (let strip = end; strip < size; strip += width) {
      const panel = below(strip - end, 0);
      dispatches.push(product({ m: size - strip, n: Math.min(width, size - strip), k: count, transposeB: true, alpha: -1, beta: 1 }, ['below', panel], ['below', panel], ['matrix', left(strip, strip)]));
    }
  }
  return program(dispatches);
}

/** Where a part of a matrix begins whose rows are `row` entries apart. */
const place =
  (row: number) =>
  (line: number, column: number): MatrixPlace => ({ first: line * row + column, row, batchStride: 0 });

type Placed = readonly [buffer: string, place: MatrixPlace];

/** y = alpha · a·op(b) + beta · y in float64. */
function product(shape: Pick<ProductPlan, 'm' | 'n' | 'k' | 'transposeB' | 'alpha' | 'beta'>, [a, aPlace]: Placed, [b, bPlace]: Placed, [y, yPlace]: Placed): Dispatch {
  const source = productSource({ ...shape, batch: 1, transposeA: false, a: aPlace, b: bPlace, c: yPlace, y: yPlace, type: 'float64', compute: 'float64' }, 'none');
  return { kernel: source, operands: [reads(a), reads(b), writes(y)], workgroups: [1, 1, 1] };
}

/** The same for a part on the diagonal by kernels, block after block: a step makes L_bb and its inverse, the panel below and the finished rows of L⁻¹ to its left, and takes their products out of what lies below. */
function factorizePart(stride: number, first: number, size: number): Dispatch[] {
  const dispatches: Dispatch[] = [];
  const diagonal = kernel('factor-diagonal', factorDiagonal, { invocations: 32 });
  const panel = kernel('factor-panel', factorPanel, { invocations: 64 });
  const trailing = kernel('factor-trailing', factorTrailing);
  for (let start = 0; start < size; start += factorBlock) {
    const count = Math.min(factorBlock, size - start);
    const below = size - start - count;
    dispatches.push(dispatch(diagonal, [writes('matrix'), writes('inverse'), writes('status')], [stride, first, start, count], [1, 1, 1]));
    if (below + start > 0) dispatches.push(dispatch(panel, [writes('matrix'), reads('inverse'), writes('panel')], [stride, first, start, count, below], blocks(below + start, 64)));
    const tiles = Math.ceil(size / factorTile);
    if (below > 0) dispatches.push(dispatch(trailing, [writes('matrix'), reads('panel')], [stride, first, size, start, count, tiles], [Math.ceil(below / factorTile) * tiles, 1, 1]));
  }
  return dispatches;
}

const storedTypes: Partial<Record<DType, number>> = { float32: 0, float16: 1, bfloat16: 2, float64: 3 };

/** Programs that read Gram matrices and weights on the device. They count entries in 64 bits. */
function residentKernels(): ResidentKernels {
  return {
    // Small bindings stand for a small device.
    maximumBytes: ({ maximumBinding }) => 4 * maximumBinding,
    diagonal: (size) => program([dispatch(kernel('gram-diagonal', gramDiagonal), [reads('gram'), writes('diagonal'), writes('status')], [size], blocks(size * size))]),
    load: (size, scale, shift) =>
      program([dispatch(kernel('gram-load', gramLoad), [reads('gram'), reads('order'), writes('matrix')], [size, 0, ...new Uint32Array(Float64Array.of(scale, shift).buffer)], blocks(size * size))]),
    widen(rows, size, dtype) {
      const type = storedTypes[dtype];
      if (type === undefined) throw new TypeError(`a weight of ${dtype}`);
      const source = kernel('sweep-widen', sweepWiden, { values: { TYPE: type } });
      return program([dispatch(source, [reads('stored'), reads('dead'), writes('weight'), writes('status')], [rows, size], blocks(rows * size))]);
    },
  };
}

/** Both words of an integer of 64 bits. */
const wide = (value: number): readonly [number, number] => [value % 2 ** 32, Math.floor(value / 2 ** 32)];

function sweep(rows: number, size: number, quantizer: SweepQuantizer, { scheme, groups, dynamic }: GroupPlan): Program {
  const dispatches: Dispatch[] = [];
  const grid = kernel('sweep-grid', sweepGrid, { invocations: 64 });
  const columns = kernel('sweep-columns', sweepColumns, { invocations: 64 });
  const norm = quantizer.clip === 'mse' ? (quantizer.norm ?? 2.4) : 0;
  const grids = (buffer: string, base: number, rowStride: number, columnStride: number, firstGroup: number, count: number): Dispatch =>
    dispatch(
      grid,
      [reads(buffer), writes('grids')],
      [
        ...[rows, size, ...wide(base), ...wide(rowStride), ...wide(columnStride), scheme.groupSize, firstGroup, count, scheme.bits, Number(scheme.symmetric)],
        ...[scaleTypes[quantizer.scaleType], { float: norm }],
      ],
      blocks(count * rows, 64),
    );
  dispatches.push(dispatch(kernel('sweep-load', sweepLoad), [reads('weight'), reads('order'), writes('y')], [rows, size], blocks(rows * size)));
  if (!dynamic) dispatches.push(grids('weight', 0, size, 1, 0, groups));
  const settled = [reads('upper'), reads('y'), reads('grids'), reads('groupOf'), writes('errors'), writes('codes'), writes('losses')];
  for (let start = 0; start < size; ) {
    // A group's grid is taken from columns that are compensated for all before, so that a group begins a block.
    const group = Math.floor(start / scheme.groupSize);
    const end = Math.min(size, start + sweepBlock, dynamic ? (group + 1) * scheme.groupSize : size);
    const count = end - start;
    if (dynamic && start % scheme.groupSize === 0) dispatches.push(grids('y', start * rows, 1, rows, group, 1));
    dispatches.push(dispatch(columns, settled, [rows, size, start, count, scheme.bits], blocks(rows, 64)));
    if (end < size) {
      const product = { m: size - end, n: rows, k: count, aFirst: start * size + end, aRow: size, yFirst: end * rows };
      dispatches.push(subtractProduct(product, { a: 'upper', b: 'errors' }));
    }
    start = end;
  }
  const field = codeField(scheme.bits, size);
  dispatches.push(dispatch(kernel('sweep-pack', sweepPack), [reads('codes'), reads('place'), writes('packed')], [rows, size, field], blocks(Math.ceil((rows * size * field) / 32))));
  return program(dispatches);
}
