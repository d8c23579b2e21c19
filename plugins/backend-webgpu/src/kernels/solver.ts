import { pareError, throwIfAborted, type QuantizedWeight } from '@pare/core';
import type { Dispatch, ProgramBuffer, ProgramRunner, KernelSource, Operand, Program } from '@pare/executor';
import {
  checkSweep,
  createColumnSolver,
  isQuantizerRule,
  loadReversed,
  planGroups,
  planHessian,
  withDamping,
  withoutDeadColumns,
  type ColumnSolver,
  type ColumnSolverOptions,
  type FactorizeRequest,
  type InverseFactor,
  type SweepQuantizer,
  type SweepRequest,
  type SweepResult,
} from '@pare/solvers';
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

/**
 * A column solver on a device. The factorization works in pairs of float32, about 48 bits, because float32 alone moves codes; sweeps work in float32 as the
 * other solvers do, with the quantizer's divisions in pairs. Rules other than the quantizer, whose columns the host settles, and Hessians that are larger than a
 * binding go to the solver in WebAssembly.
 */
export function createWebgpuColumnSolver(device: ProgramRunner, options: ColumnSolverOptions = {}): ColumnSolver {
  let host: ColumnSolver | undefined;
  let engine: Engine | undefined;
  let tail: Promise<unknown> = Promise.resolve();
  let disposed = false;
  const queue = <T>(signal: AbortSignal | undefined, what: string, work: (kernels: Engine, fallback: () => ColumnSolver) => Promise<T>): Promise<T> => {
    const job = tail.then(() => {
      if (disposed) throw new Error('the column solver was disposed');
      throwIfAborted(signal, what);
      engine ??= new Engine(device);
      return work(engine, () => (host ??= createColumnSolver(options)));
    });
    tail = job.catch(() => undefined);
    return job;
  };
  return {
    factorize: (request) =>
      queue(request.signal, 'the factorization', (kernels, fallback) => (kernels.holds(request.size) ? kernels.factorize(request) : fallback().factorize(request))),
    sweep: <R>(request: SweepRequest<R>) =>
      queue(request.signal, 'the column sweep', async (kernels, fallback): Promise<SweepResult<R>> => {
        const { rule } = request;
        if (!isQuantizerRule(rule)) return fallback().sweep(request);
        checkSweep(request);
        // The rule's own type says that its result is a quantized weight.
        return (await kernels.sweep(request, rule.quantizer)) as SweepResult<R>;
      }),
    async dispose() {
      if (disposed) return;
      disposed = true;
      await tail;
      engine?.dispose();
      await host?.dispose();
    },
  };
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

/** One job at a time on one device. */
class Engine {
  readonly #device: ProgramRunner;
  /** The factor whose U lies on the device from the last factorization or sweep. */
  #resident: { readonly factor: InverseFactor; readonly upper: ProgramBuffer } | undefined;

  constructor(device: ProgramRunner) {
    this.#device = device;
  }

  dispose(): void {
    this.#resident?.upper[Symbol.dispose]();
    this.#resident = undefined;
  }

  /** True where a Hessian of this size can be factorized here. */
  holds(size: number): boolean {
    return size > 0 && size * size * 8 <= this.#device.traits.maximumBinding;
  }

  async factorize(request: FactorizeRequest): Promise<InverseFactor> {
    const { size, signal } = request;
    const device = this.#device;
    const plan = planHessian(request);
    const scratch: ProgramBuffer[] = [];
    const allocate = (bytes: number): ProgramBuffer => {
      const buffer = device.allocate(bytes);
      scratch.push(buffer);
      return buffer;
    };
    try {
      const buffers = {
        matrix: allocate(size * size * 8),
        panel: allocate(Math.max(1, size) * factorBlock * 8),
        inverse: allocate(factorBlock * factorBlock * 8),
        status: allocate(4),
      };
      const program = factorization(device, size);
      const lower = new Float64Array(size * size);
      const pairs = new Float32Array(size * size * 2);
      const { damping } = await withDamping(request, async (candidate) => {
        throwIfAborted(signal, 'the factorization');
        loadReversed(request, plan, candidate, lower, size);
        for (let index = 0; index < lower.length; index++) {
          const value = lower[index]!;
          const high = Math.fround(value);
          pairs[2 * index] = high;
          pairs[2 * index + 1] = value - high;
        }
        device.write(buffers.matrix, pairs);
        device.write(buffers.status, new Uint32Array(1));
        device.run(program, buffers);
        return new Uint32Array(await device.read(buffers.status, 4))[0] === 0 ? true : undefined;
      });
      throwIfAborted(signal, 'the factorization');
      const upper = device.allocate(size * size * 4);
      const steps = new Steps(device);
      steps.launch(kernel('factor-upper', factorUpper), [reads('matrix'), writes('upper')], Math.ceil((size * size) / 256), [size]);
      device.run(steps.program, { matrix: buffers.matrix, upper });
      this.dispose();
      const values = new Float32Array(await device.read(upper, size * size * 4));
      const factor: InverseFactor = { size, order: plan.order, upper: values, damping, dead: plan.dead, diagonal: plan.diagonal };
      this.#resident = { factor, upper };
      return factor;
    } finally {
      for (const buffer of scratch) buffer[Symbol.dispose]();
    }
  }

  async sweep(request: SweepRequest<unknown>, quantizer: SweepQuantizer): Promise<SweepResult<QuantizedWeight>> {
    const { rows, factor, signal } = request;
    const { size } = factor;
    const index = request.weight.findIndex((value) => !Number.isFinite(value));
    if (index !== -1) throw pareError('PARE_WEIGHT_NOT_FINITE', { tensor: 'weight', index, value: String(request.weight[index]) });
    const plan = planGroups(quantizer, size, factor.order);
    const weight = withoutDeadColumns(request.weight, rows, factor.dead);
    const codes = new Uint8Array(rows * size);
    const scales = new Float32Array(rows * plan.groups);
    const zeros = plan.scheme.symmetric ? undefined : new Uint8Array(rows * plan.groups);
    const rowLosses = new Float64Array(rows);
    // Rows do not touch each other: as many at a time as the buffers of one binding hold.
    const { maximumBinding } = this.#device.traits;
    const rowBytes = Math.max(4 * size, 16 * plan.groups, 4 * sweepBlock);
    const height = Math.max(1, Math.min(rows, Math.floor(maximumBinding / rowBytes)));
    for (let first = 0; first < rows; first += height) {
      throwIfAborted(signal, 'the column sweep');
      const count = Math.min(height, rows - first);
      const strip = await this.#strip(weight.subarray(first * size, (first + count) * size), count, factor, quantizer, plan);
      codes.set(strip.codes.subarray(0, count * size), first * size);
      for (let row = 0; row < count; row++) {
        rowLosses[first + row] = strip.losses[2 * row]! + strip.losses[2 * row + 1]!;
        for (let group = 0; group < plan.groups; group++) {
          const grid = 4 * (group * count + row);
          const target = (first + row) * plan.groups + group;
          scales[target] = strip.grids[grid]!;
          if (zeros !== undefined) zeros[target] = strip.grids[grid + 3]!;
        }
      }
    }
    throwIfAborted(signal, 'the column sweep');
    const tooLarge = scales.find((scale) => scale === Infinity);
    if (tooLarge !== undefined) throw pareError('PARE_SCALE_OVERFLOW', { scale: tooLarge, scaleType: quantizer.scaleType });
    const { scheme, groupIndex } = plan;
    const result: QuantizedWeight = { form: 'quantized', shape: [rows, size], scheme, codes, scales, scaleType: quantizer.scaleType, zeros, groupIndex };
    return { result, loss: rowLosses.reduce((sum, loss) => sum + loss, 0), rowLosses };
  }

  #upperOf(factor: InverseFactor): ProgramBuffer {
    if (this.#resident?.factor !== factor) {
      this.dispose();
      const upper = this.#device.allocate(factor.upper.byteLength);
      this.#device.write(upper, factor.upper);
      this.#resident = { factor, upper };
    }
    return this.#resident.upper;
  }

  async #strip(
    weight: Float32Array,
    rows: number,
    factor: InverseFactor,
    quantizer: SweepQuantizer,
    plan: ReturnType<typeof planGroups>,
  ): Promise<{ codes: Uint8Array; grids: Float32Array; losses: Float32Array }> {
    const device = this.#device;
    const { size } = factor;
    const scratch: ProgramBuffer[] = [];
    const allocate = (bytes: number, data?: ArrayBufferView): ProgramBuffer => {
      const buffer = device.allocate(bytes);
      scratch.push(buffer);
      if (data !== undefined) device.write(buffer, data);
      return buffer;
    };
    const order = Uint32Array.from({ length: size }, (_, position) => factor.order?.[position] ?? position);
    const place = new Uint32Array(size);
    for (const [position, column] of order.entries()) place[column] = position;
    try {
      const buffers = {
        weight: allocate(weight.byteLength, weight),
        order: allocate(size * 4, order),
        place: allocate(size * 4, place),
        groupOf: allocate(size * 4, plan.positions),
        upper: this.#upperOf(factor),
        y: allocate(size * rows * 4),
        errors: allocate(sweepBlock * rows * 4),
        grids: allocate(plan.groups * rows * 16),
        codes: allocate(size * rows * 4),
        losses: allocate(rows * 8),
        packed: allocate(Math.ceil((size * rows) / 4) * 4),
      };
      device.run(sweepProgram(device, rows, size, quantizer, plan), buffers);
      return {
        codes: new Uint8Array(await device.read(buffers.packed)),
        grids: new Float32Array(await device.read(buffers.grids, plan.groups * rows * 16)),
        losses: new Float32Array(await device.read(buffers.losses, rows * 8)),
      };
    } finally {
      for (const buffer of scratch) buffer[Symbol.dispose]();
    }
  }
}

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
function sweepProgram(device: ProgramRunner, rows: number, size: number, quantizer: SweepQuantizer, plan: ReturnType<typeof planGroups>): Program {
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
  steps.launch(kernel('sweep-pack', sweepPack), [reads('codes'), reads('place'), writes('packed')], Math.ceil((rows * size) / 1024), [rows, size]);
  return steps.program;
}
