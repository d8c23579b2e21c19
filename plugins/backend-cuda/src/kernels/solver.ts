import { createDeviceColumnSolver, uniformWords, type ColumnSolverKernels, type Dispatch, type Float, type KernelSource, type Operand, type Program, type ProgramRunner } from '@pare/executor';
import type { ColumnSolver, ColumnSolverOptions, GroupPlan, SweepQuantizer } from '@pare/solvers';
import type { ScaleType } from '@pare/weights';
import { factorDiagonal, factorPanel, factorTrailing, factorUpper, sweepColumns, sweepGrid, sweepLoad, sweepPack } from './kernels.gen.js';
import { blocks, kernel } from './kernel.js';
import { subtractProduct } from './matmul.js';

/** Rows and columns of a block of the factorization, as in factor-*.cu. */
const factorBlock = 32;
/** Rows and columns of a tile of factor-trailing.cu. */
const factorTile = 64;
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
export function createCudaColumnSolver(device: ProgramRunner, options: ColumnSolverOptions = {}): ColumnSolver {
  return createDeviceColumnSolver(device, columnSolverKernels, options);
}

/** The programs of the column solver. */
export const columnSolverKernels: ColumnSolverKernels = {
  entryBytes: 8,
  encode: (values) => values,
  scratch: (size) => ({ panel: Math.max(1, size) * factorBlock * 8, inverse: factorBlock * factorBlock * 8 }),
  factorize,
  invert: (size) => program([dispatch(kernel('factor-upper', factorUpper), [reads('matrix'), writes('upper')], [size], blocks(size * size))]),
  blockColumns: sweepBlock,
  sweep,
};

/**
 * A = L·Lᵀ and L⁻¹ in the place of A, block after block: a step makes L_bb and its inverse, the panel below and the finished rows of L⁻¹ to its left, and takes
 * their products out of everything below.
 */
function factorize(size: number): Program {
  const dispatches: Dispatch[] = [];
  const diagonal = kernel('factor-diagonal', factorDiagonal, { invocations: 32 });
  const panel = kernel('factor-panel', factorPanel, { invocations: 64 });
  const trailing = kernel('factor-trailing', factorTrailing);
  for (let start = 0; start < size; start += factorBlock) {
    const count = Math.min(factorBlock, size - start);
    const below = size - start - count;
    dispatches.push(dispatch(diagonal, [writes('matrix'), writes('inverse'), writes('status')], [size, start, count], [1, 1, 1]));
    if (below + start > 0) dispatches.push(dispatch(panel, [writes('matrix'), reads('inverse'), writes('panel')], [size, start, count, below], blocks(below + start, 64)));
    const tiles = Math.ceil(size / factorTile);
    if (below > 0) dispatches.push(dispatch(trailing, [writes('matrix'), reads('panel')], [size, start, count, tiles], [Math.ceil(below / factorTile) * tiles, 1, 1]));
  }
  return program(dispatches);
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
  dispatches.push(dispatch(kernel('sweep-pack', sweepPack), [reads('codes'), reads('place'), writes('packed')], [rows, size], blocks(rows * size)));
  return program(dispatches);
}
