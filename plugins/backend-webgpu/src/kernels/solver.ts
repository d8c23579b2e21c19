import { codeField, createDeviceColumnSolver, type ColumnSolverKernels, type DevicePrograms, type Dispatch, type KernelSource, type Operand, type Program, type ProgramRunner } from '@pare/executor';
import type { ColumnSolver, ColumnSolverOptions, GroupPlan, SweepQuantizer } from '@pare/solvers';
import type { ScaleType } from '@pare/weights';
import { factorDiagonal, factorPanel, factorTrailing, factorUpper, roundQuotient, sweepColumns, sweepGrid, sweepLoad, sweepPack, twoFloat } from './kernels.gen.js';
import { launches } from './launch.js';
import { subtractProduct } from './matmul.js';
import { kernel, uniformWords, type Float } from './shader.js';

/** Rows and columns of a block of the factorization, as in factor-*.wgsl. */
const factorBlock = 32;
/** Most columns that are settled between two products, as in sweep-columns.wgsl. */
const sweepBlock = 64;
const scaleTypes: Readonly<Record<ScaleType, number>> = { float32: 0, float16: 1, bfloat16: 2 };

/** What kernels of the solver are told to hide from the compiler's algebra; see two-float.wgsl. */
const zero = 0;

/** The Hessian as pairs of float32. */
function pairsOf(values: Float64Array): Float32Array {
  const pairs = new Float32Array(values.length * 2);
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!;
    const high = Math.fround(value);
    pairs[2 * index] = high;
    pairs[2 * index + 1] = value - high;
  }
  return pairs;
}

/**
 * A column solver on a device. The factorization works in pairs of float32, about 48 bits, because float32 alone moves codes; sweeps work in float32 as the
 * other solvers do, with the quantizer's divisions in pairs.
 */
export function createWebgpuColumnSolver(device: DevicePrograms, options: ColumnSolverOptions = {}): ColumnSolver {
  const kernels: ColumnSolverKernels = {
    entryBytes: 8,
    encode: pairsOf,
    scratch: (size) => ({ panel: Math.max(1, size) * factorBlock * 8, inverse: factorBlock * factorBlock * 8 }),
    factorize: (size) => factorization(device, size),
    invert(size) {
      const steps = new Steps(device);
      steps.launch(kernel('factor-upper', factorUpper), [reads('matrix'), writes('upper')], Math.ceil((size * size) / 256), [size]);
      return steps.program;
    },
    blockColumns: sweepBlock,
    sweep: (rows, size, quantizer, plan) => sweepProgram(device, rows, size, quantizer, plan),
  };
  return createDeviceColumnSolver(device, kernels, options);
}

/** Collects dispatches of one program. */
class Steps {
  readonly dispatches: Dispatch[] = [];
  readonly #device: ProgramRunner;

  constructor(device: ProgramRunner) {
    this.#device = device;
  }

  /** A kernel whose uniforms begin with `first` and `groups`. */
  launch(source: KernelSource, operands: readonly Operand[], groups: number, words: readonly (number | Float)[]): void {
    for (const { first, workgroups } of launches(groups, this.#device.traits)) {
      this.dispatches.push({ kernel: source, operands, uniforms: uniformWords([first, groups, ...words]), workgroups });
    }
  }

  get program(): Program {
    return { temporaries: [], dispatches: this.dispatches };
  }
}

const reads = (buffer: string): Operand => ({ buffer, access: 'read' });
const writes = (buffer: string): Operand => ({ buffer, access: 'write' });

/**
 * A = L·Lᵀ and L⁻¹ in the place of A, block after block: a step makes L_bb and its inverse, the panel below and the finished rows of L⁻¹ to its left, and takes
 * their products out of everything below. Buffers `matrix`, `panel`, `inverse`, `status`.
 */
function factorization(device: ProgramRunner, size: number): Program {
  const steps = new Steps(device);
  const diagonal = kernel('factor-diagonal', factorDiagonal, {}, [twoFloat]);
  const panel = kernel('factor-panel', factorPanel, {}, [twoFloat]);
  const trailing = kernel('factor-trailing', factorTrailing, {}, [twoFloat]);
  for (let start = 0; start < size; start += factorBlock) {
    const count = Math.min(factorBlock, size - start);
    const below = size - start - count;
    const uniforms = uniformWords([size, start, count, zero]);
    steps.dispatches.push({ kernel: diagonal, operands: [writes('matrix'), writes('inverse'), writes('status')], uniforms, workgroups: [1, 1, 1] });
    const lines = below + start;
    for (const { first, workgroups } of launches(Math.ceil(lines / 64), device.traits)) {
      const words = uniformWords([size, start, count, zero, first, Math.ceil(lines / 64), below]);
      steps.dispatches.push({ kernel: panel, operands: [writes('matrix'), reads('inverse'), writes('panel')], uniforms: words, workgroups });
    }
    const tiles = Math.ceil(size / factorBlock);
    const groups = Math.ceil(below / factorBlock) * tiles;
    for (const { first, workgroups } of launches(groups, device.traits)) {
      const words = uniformWords([size, start, count, zero, first, groups, below, tiles]);
      steps.dispatches.push({ kernel: trailing, operands: [writes('matrix'), reads('panel')], uniforms: words, workgroups });
    }
  }
  return steps.program;
}

/** A sweep over the columns of `rows` rows; buffers as `Engine` names them, the columns in visiting order being `y`. */
function sweepProgram(device: ProgramRunner, rows: number, size: number, quantizer: SweepQuantizer, plan: GroupPlan): Program {
  const { scheme, groups, dynamic } = plan;
  const { traits } = device;
  const steps = new Steps(device);
  const grid = kernel('sweep-grid', sweepGrid, {}, [twoFloat, roundQuotient]);
  const columns = kernel('sweep-columns', sweepColumns, {}, [twoFloat, roundQuotient]);
  const norm = quantizer.clip === 'mse' ? (quantizer.norm ?? 2.4) : 0;
  const grids = (buffer: string, base: number, rowStride: number, columnStride: number, firstGroup: number, count: number): void => {
    steps.launch(grid, [reads(buffer), writes('grids')], Math.ceil((count * rows) / 64), [
      ...[rows, size, base, rowStride, columnStride, scheme.groupSize, firstGroup, count, scheme.bits, Number(scheme.symmetric)],
      ...[scaleTypes[quantizer.scaleType], zero, { float: norm }],
    ]);
  };
  steps.launch(kernel('sweep-load', sweepLoad), [reads('weight'), reads('order'), writes('y')], Math.ceil((rows * size) / 256), [rows, size]);
  if (!dynamic) grids('weight', 0, size, 1, 0, groups);
  for (let start = 0; start < size; ) {
    // A group's grid is taken from columns that are compensated for all before, so that a group begins a block.
    const group = Math.floor(start / scheme.groupSize);
    const end = Math.min(size, start + sweepBlock, dynamic ? (group + 1) * scheme.groupSize : size);
    const count = end - start;
    if (dynamic && start % scheme.groupSize === 0) grids('y', start * rows, 1, rows, group, 1);
    const offset = Math.floor((start * size * 4) / traits.offsetAlignment) * traits.offsetAlignment;
    const upper: Operand = { buffer: 'upper', access: 'read', offset, size: end * size * 4 - offset };
    const operands = [upper, reads('y'), reads('grids'), reads('groupOf'), writes('errors'), writes('codes'), writes('losses')];
    steps.launch(columns, operands, Math.ceil(rows / 64), [rows, size, start, count, start * size - offset / 4, scheme.bits, zero]);
    if (end < size) {
      const product = { m: size - end, n: rows, k: count, aFirst: start * size + end, aRow: size, yFirst: end * rows };
      steps.dispatches.push(...subtractProduct(product, { a: 'upper', b: 'errors' }, traits).dispatches);
    }
    start = end;
  }
  const field = codeField(scheme.bits, size);
  steps.launch(kernel('sweep-pack', sweepPack), [reads('codes'), reads('place'), writes('packed')], Math.ceil((rows * size * field) / (256 * 32)), [rows, size, field]);
  return steps.program;
}
