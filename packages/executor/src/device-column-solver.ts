import { pareError, throwIfAborted, type QuantizedWeight } from '@pare/core';
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
  type GroupPlan,
  type InverseFactor,
  type SweepQuantizer,
  type SweepRequest,
  type SweepResult,
} from '@pare/solvers';
import type { ProgramBuffer, ProgramRunner } from './device-programs.js';
import type { Program } from './program.js';

/** What a kernel language brings to the column solver. Programs name their buffers as said here. */
export interface ColumnSolverKernels {
  /** Bytes of an entry of the Hessian as the factorization holds it. */
  readonly entryBytes: number;
  /** Entries as they are copied to `matrix`; the array may be used again with the next call. */
  readonly encode: (values: Float64Array) => ArrayBufferView;
  /** Buffers that the factorization works in, beside `matrix` and `status`: bytes by name. */
  readonly scratch: (size: number) => Readonly<Record<string, number>>;
  /** A = L·Lᵀ and L⁻¹ in the place of A, the lower triangle of `matrix` [size, size]; `status` [1] becomes the number, from 1, of a pivot that is not positive. */
  readonly factorize: (size: number) => Program;
  /** `upper` float32 [size, size] from `matrix`: the inverse in the order of columns, upper_ij = L⁻¹_(n−1−i)(n−1−j) for j ≥ i, 0 below. */
  readonly invert: (size: number) => Program;
  /** Most columns that are settled between two products. */
  readonly blockColumns: number;
  /**
   * Quantizes `weight` float32 [rows, size] column by column. Reads `order` and `place` (column at a position, position of a column), `groupOf` (group of a position,
   * all uint32 [size]) and `upper`; works in `y` float32 [size, rows], `errors` float32 [blockColumns, rows] and `codes` uint32 [size, rows]; leaves `packed` (codes as
   * bytes [rows, size]), `grids` [groups, rows] of four float32, scale first and zero last, and `losses` [rows] of two float32 whose sum is the row's loss.
   */
  readonly sweep: (rows: number, size: number, quantizer: SweepQuantizer, plan: GroupPlan) => Program;
}

/**
 * A column solver on a device. Rules other than the quantizer, masks, and Hessians that are larger than a binding go to the solver in WebAssembly.
 */
export function createDeviceColumnSolver(device: ProgramRunner, kernels: ColumnSolverKernels, options: ColumnSolverOptions = {}): ColumnSolver {
  let host: ColumnSolver | undefined;
  let engine: Engine | undefined;
  let tail: Promise<unknown> = Promise.resolve();
  let disposed = false;
  const queue = <T>(signal: AbortSignal | undefined, what: string, work: (engine: Engine, fallback: () => ColumnSolver) => Promise<T>): Promise<T> => {
    const job = tail.then(() => {
      if (disposed) throw new Error('the column solver was disposed');
      throwIfAborted(signal, what);
      engine ??= new Engine(device, kernels);
      return work(engine, () => (host ??= createColumnSolver(options)));
    });
    tail = job.catch(() => undefined);
    return job;
  };
  return {
    factorize: (request) =>
      queue(request.signal, 'the factorization', (running, fallback) => (running.holds(request.size) ? running.factorize(request) : fallback().factorize(request))),
    sweep: <R>(request: SweepRequest<R>) =>
      queue(request.signal, 'the column sweep', async (running, fallback): Promise<SweepResult<R>> => {
        const { rule } = request;
        if (!isQuantizerRule(rule) || rule.mask !== undefined) return fallback().sweep(request);
        checkSweep(request);
        // The rule's own type says that its result is a quantized weight.
        return (await running.sweep(request, rule.quantizer)) as SweepResult<R>;
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

/** One job at a time on one device. */
class Engine {
  readonly #device: ProgramRunner;
  readonly #kernels: ColumnSolverKernels;
  /** The factor whose U lies on the device from the last factorization or sweep. */
  #resident: { readonly factor: InverseFactor; readonly upper: ProgramBuffer } | undefined;

  constructor(device: ProgramRunner, kernels: ColumnSolverKernels) {
    this.#device = device;
    this.#kernels = kernels;
  }

  dispose(): void {
    this.#resident?.upper[Symbol.dispose]();
    this.#resident = undefined;
  }

  /** True where a Hessian of this size can be factorized here. */
  holds(size: number): boolean {
    return size > 0 && size * size * this.#kernels.entryBytes <= this.#device.traits.maximumBinding;
  }

  async factorize(request: FactorizeRequest): Promise<InverseFactor> {
    const { size, signal } = request;
    const [device, kernels] = [this.#device, this.#kernels];
    const plan = planHessian(request);
    const scratch: ProgramBuffer[] = [];
    const allocate = (bytes: number): ProgramBuffer => {
      const buffer = device.allocate(bytes);
      scratch.push(buffer);
      return buffer;
    };
    try {
      const buffers = {
        matrix: allocate(size * size * kernels.entryBytes),
        status: allocate(4),
        ...Object.fromEntries(Object.entries(kernels.scratch(size)).map(([name, bytes]) => [name, allocate(bytes)])),
      };
      const program = kernels.factorize(size);
      const lower = new Float64Array(size * size);
      const { damping } = await withDamping(request, async (candidate) => {
        throwIfAborted(signal, 'the factorization');
        loadReversed(request, plan, candidate, lower, size);
        device.write(buffers.matrix, kernels.encode(lower));
        device.write(buffers.status, new Uint32Array(1));
        device.run(program, buffers);
        return new Uint32Array(await device.read(buffers.status, 4))[0] === 0 ? true : undefined;
      });
      throwIfAborted(signal, 'the factorization');
      const upper = device.allocate(size * size * 4);
      device.run(kernels.invert(size), { matrix: buffers.matrix, upper });
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
    const rowBytes = Math.max(4 * size, 16 * plan.groups, 4 * this.#kernels.blockColumns);
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
    plan: GroupPlan,
  ): Promise<{ codes: Uint8Array; grids: Float32Array; losses: Float32Array }> {
    const [device, kernels] = [this.#device, this.#kernels];
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
        errors: allocate(kernels.blockColumns * rows * 4),
        grids: allocate(plan.groups * rows * 16),
        codes: allocate(size * rows * 4),
        losses: allocate(rows * 8),
        packed: allocate(Math.ceil((size * rows) / 4) * 4),
      };
      device.run(kernels.sweep(rows, size, quantizer, plan), buffers);
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
