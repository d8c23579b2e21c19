import { pareError, throwIfAborted, type DType, type HostTensor, type QuantizedWeight } from '@pare/core';
import {
  checkSweep,
  createColumnSolver,
  gramNotFinite,
  isQuantizerRule,
  loadReversed,
  planDiagonal,
  planGroups,
  planHessian,
  weightValues,
  withDamping,
  withoutDeadColumns,
  type ColumnSolver,
  type ColumnSolverOptions,
  type FactorFacts,
  type FactorizeRequest,
  type GroupPlan,
  type InverseFactor,
  type ResidentFactor,
  type ResidentSolver,
  type SweepQuantizer,
  type SweepRequest,
  type SweepResult,
} from '@pare/solvers';
import { packedWeight } from '@pare/weights';
import type { DevicePrograms, ProgramBuffer } from './device-programs.js';
import type { DeviceTraits, Program } from './program.js';

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
   * all uint32 [size]) and `upper`; works in `y` float32 [size, rows], `errors` float32 [blockColumns, rows] and `codes` uint32 [size, rows]; leaves `packed` (codes
   * [rows, size] in words, `codeField` bits for each), `grids` [groups, rows] of four float32, scale first and zero last, and `losses` [rows] of two float32 whose sum is the row's loss.
   */
  readonly sweep: (rows: number, size: number, quantizer: SweepQuantizer, plan: GroupPlan) => Program;
  /** What is needed to solve without the host between; left out by languages that lack it. */
  readonly resident?: ResidentKernels | undefined;
}

/** True where words are full of codes and rows end with a word, so that words in a row are those of `packRows` of `@pare/weights`. */
function fillsWords(bits: number, size: number): boolean {
  return 32 % bits === 0 && (size * bits) % 32 === 0;
}

/** Bits that a code takes in `packed`: its own where codes fill words, else 8. */
export function codeField(bits: number, size: number): number {
  return fillsWords(bits, size) ? bits : 8;
}

/** Programs that read Gram matrices and weights on the device. */
export interface ResidentKernels {
  /** Largest `matrix` in bytes; hand-written programs may address more than a generated kernel binds. */
  readonly maximumBytes: (traits: DeviceTraits) => number;
  /** `diagonal` float32 [size] of `gram` float32 [size, size]; `status` [1] becomes 1 when an entry is not finite. */
  readonly diagonal: (size: number) => Program;
  /**
   * `matrix` from `gram`: the lower triangle of J·(scale·G + shift·I)·J in the order of `order` (uint32 [size]), J the reversal. Columns whose diagonal is 0 get 1
   * there. What stands above the diagonal is undefined.
   */
  readonly load: (size: number, scale: number, shift: number) => Program;
  /** `weight` float32 [rows, size] from `stored` in a float type, 0 in columns where `dead` (uint32 [size]) is 1; `status` [1] becomes 1 when a value is not finite. */
  readonly widen: (rows: number, size: number, dtype: DType) => Program;
}

/**
 * A column solver on a device. Rules other than the quantizer, masks, and Hessians that are larger than a binding go to the solver in WebAssembly.
 */
export function createDeviceColumnSolver(device: DevicePrograms, kernels: ColumnSolverKernels, options: ColumnSolverOptions = {}): ColumnSolver {
  let host: ColumnSolver | undefined;
  let engine: Engine | undefined;
  let tail: Promise<unknown> = Promise.resolve();
  let disposed = false;
  const queue = <T>(signal: AbortSignal | undefined, what: string, work: (engine: Engine, fallback: () => ColumnSolver) => Promise<T>): Promise<T> => {
    const job = tail.then(() => {
      if (disposed) throw new Error('the column solver was disposed');
      throwIfAborted(signal, what);
      engine ??= new Engine(device, kernels, (later) => queue(undefined, 'the column solver', later));
      return work(engine, () => (host ??= createColumnSolver(options)));
    });
    tail = job.catch(() => undefined);
    return job;
  };
  const solver: ColumnSolver = {
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
  if (kernels.resident === undefined) return solver;
  const resident: ResidentSolver = {
    factorize: (request) => queue(request.signal, 'the factorization', (running) => running.factorizeResident(request)),
    sweep: <R>(request: Parameters<typeof resident.sweep<R>>[0]) => {
      const { rule, weight, factor } = request;
      if (isQuantizerRule(rule) && rule.mask === undefined) {
        return queue(request.signal, 'the column sweep', async (running) => {
          checkSweep({ ...request, weight: weight.data });
          return (await running.sweep(request, rule.quantizer)) as SweepResult<R>;
        });
      }
      return factor.load().then((loaded) => solver.sweep({ ...request, weight: weightValues(weight), factor: loaded }));
    },
  };
  return { ...solver, resident };
}

/** Buffers that are given back together. */
class Scratch implements Disposable {
  readonly #device: DevicePrograms;
  readonly #buffers: ProgramBuffer[] = [];

  constructor(device: DevicePrograms) {
    this.#device = device;
  }

  allocate(bytes: number, data?: ArrayBufferView): ProgramBuffer {
    const buffer = this.own(this.#device.allocate(bytes));
    if (data !== undefined) this.#device.write(buffer, data);
    return buffer;
  }

  own(buffer: ProgramBuffer): ProgramBuffer {
    this.#buffers.push(buffer);
    return buffer;
  }

  [Symbol.dispose](): void {
    for (const buffer of this.#buffers) buffer[Symbol.dispose]();
  }
}

/** One job at a time on one device. */
class Engine {
  readonly #device: DevicePrograms;
  readonly #kernels: ColumnSolverKernels;
  /** Runs what a factor is asked for after the jobs before; rejects when the solver was disposed. */
  readonly #inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  /** U of factors that lie on the device until they are disposed. */
  readonly #owned = new Map<FactorFacts, ProgramBuffer>();
  /** A copy of U of the factor in host memory from the last factorization or sweep. */
  #copied: { readonly factor: InverseFactor; readonly upper: ProgramBuffer } | undefined;

  constructor(device: DevicePrograms, kernels: ColumnSolverKernels, inTurn: <T>(work: () => Promise<T>) => Promise<T>) {
    this.#device = device;
    this.#kernels = kernels;
    this.#inTurn = inTurn;
  }

  dispose(): void {
    this.#dropCopy();
    for (const factor of this.#owned.keys()) this.#release(factor);
  }

  #dropCopy(): void {
    this.#copied?.upper[Symbol.dispose]();
    this.#copied = undefined;
  }

  #release(factor: FactorFacts): void {
    this.#owned.get(factor)?.[Symbol.dispose]();
    this.#owned.delete(factor);
  }

  /** True where a Hessian of this size can be factorized here. */
  holds(size: number): boolean {
    return size > 0 && size * size * this.#kernels.entryBytes <= this.#device.traits.maximumBinding;
  }

  async factorize(request: FactorizeRequest): Promise<InverseFactor> {
    const { size } = request;
    const plan = planHessian(request);
    const lower = new Float64Array(size * size);
    const { damping, upper } = await this.#factorize(request, (candidate, { matrix }) => {
      loadReversed(request, plan, candidate, lower, size);
      this.#device.write(matrix, this.#kernels.encode(lower));
    });
    try {
      const values = new Float32Array(await this.#device.read(upper, size * size * 4));
      const factor: InverseFactor = { size, order: plan.order, upper: values, damping, dead: plan.dead, diagonal: plan.diagonal };
      this.#copied = { factor, upper };
      return factor;
    } catch (error) {
      upper[Symbol.dispose]();
      throw error;
    }
  }

  /** Factorizes a Gram matrix where it lies; undefined when it is too large for that. */
  async factorizeResident(request: Parameters<ResidentSolver['factorize']>[0]): Promise<ResidentFactor | undefined> {
    const { size, scale = 1 } = request;
    const device = this.#device;
    const kernels = this.#kernels.resident!;
    if (size === 0 || size * size * this.#kernels.entryBytes > kernels.maximumBytes(device.traits)) return undefined;
    using scratch = new Scratch(device);
    const gram = scratch.own(device.bufferOf(request.gram));
    const [status, diagonal] = [scratch.allocate(4, new Uint32Array(1)), scratch.allocate(size * 4)];
    device.run(kernels.diagonal(size), { gram, diagonal, status });
    if (new Uint32Array(await device.read(status, 4))[0] !== 0) throw gramNotFinite(new Float32Array(await device.read(gram, size * size * 4)), size);
    const plan = planDiagonal(request, new Float32Array(await device.read(diagonal, size * 4)));
    const order = scratch.allocate(size * 4, columnsInOrder(size, plan.order));
    const { damping, upper } = await this.#factorize(request, (candidate, { matrix }) => device.run(kernels.load(size, scale, candidate * plan.meanDiagonal), { gram, order, matrix }));
    let loaded: Promise<InverseFactor> | undefined;
    const facts: FactorFacts = { size, order: plan.order, damping, dead: plan.dead, diagonal: plan.diagonal };
    const factor: ResidentFactor = {
      ...facts,
      load: () => (loaded ??= this.#inTurn(async () => ({ ...facts, upper: new Float32Array(await device.read(this.#upperOf(factor), size * size * 4)) }))),
      [Symbol.dispose]: () => {
        // A solver that was disposed has released it.
        this.#inTurn(() => Promise.resolve(this.#release(factor))).catch(() => undefined);
      },
    };
    this.#owned.set(factor, upper);
    return factor;
  }

  /** Factorizes what `load` puts into the matrix, with growing damping; U takes the place of the copied one. The caller disposes it. */
  async #factorize(
    request: Pick<FactorizeRequest, 'size' | 'damping' | 'dampingIncrement' | 'signal'>,
    load: (damping: number, buffers: { readonly matrix: ProgramBuffer }) => void,
  ): Promise<{ readonly damping: number; readonly upper: ProgramBuffer }> {
    const { size, signal } = request;
    const [device, kernels] = [this.#device, this.#kernels];
    using scratch = new Scratch(device);
    const buffers = {
      matrix: scratch.allocate(size * size * kernels.entryBytes),
      status: scratch.allocate(4),
      ...Object.fromEntries(Object.entries(kernels.scratch(size)).map(([name, bytes]) => [name, scratch.allocate(bytes)])),
    };
    const program = kernels.factorize(size);
    const { damping } = await withDamping(request, async (candidate) => {
      throwIfAborted(signal, 'the factorization');
      load(candidate, buffers);
      device.write(buffers.status, new Uint32Array(1));
      device.run(program, buffers);
      return new Uint32Array(await device.read(buffers.status, 4))[0] === 0 ? true : undefined;
    });
    throwIfAborted(signal, 'the factorization');
    this.#dropCopy();
    const upper = device.allocate(size * size * 4);
    device.run(kernels.invert(size), { matrix: buffers.matrix, upper });
    return { damping, upper };
  }

  /** Sweeps under a quantizer, a weight in host memory of any float type. */
  async sweep(
    request: { readonly weight: Float32Array | HostTensor; readonly rows: number; readonly factor: InverseFactor | ResidentFactor; readonly signal?: AbortSignal | undefined },
    quantizer: SweepQuantizer,
  ): Promise<SweepResult<QuantizedWeight>> {
    const { rows, factor, signal } = request;
    const { size } = factor;
    const plan = planGroups(quantizer, size, factor.order);
    const source = this.#source(request);
    const field = codeField(plan.scheme.bits, size);
    let codes: Uint8Array | undefined;
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
      const strip = await this.#strip(source, first, count, factor, quantizer, plan);
      if (count === rows) codes = strip.codes;
      else (codes ??= new Uint8Array((rows * size * field) / 8)).set(strip.codes, (first * size * field) / 8);
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
    codes ??= new Uint8Array(0);
    const parts: Omit<QuantizedWeight, 'codes'> = { form: 'quantized', shape: [rows, size], scheme, scales, scaleType: quantizer.scaleType, zeros, groupIndex };
    const result = fillsWords(scheme.bits, size) ? packedWeight(parts, new Int32Array(codes.buffer, codes.byteOffset, codes.length / 4)) : { ...parts, codes };
    return { result, loss: rowLosses.reduce((sum, loss) => sum + loss, 0), rowLosses };
  }

  /** Where the rows of a weight come from: made wide on the device where its language can, else on the host. */
  #source({ weight, rows, factor: { size, dead } }: { readonly weight: Float32Array | HostTensor; readonly rows: number; readonly factor: FactorFacts }): WeightSource {
    const device = this.#device;
    const kernels = this.#kernels.resident;
    if (kernels === undefined || weight instanceof Float32Array) {
      const values = weight instanceof Float32Array ? weight : weightValues(weight);
      refuseNotFinite(values);
      const wide = withoutDeadColumns(values, rows, dead);
      return async (first, count, into) => {
        device.write(into, wide.subarray(first * size, (first + count) * size));
        return Promise.resolve();
      };
    }
    const { dtype, data } = weight;
    return async (first, count, into) => {
      using stored = device.allocate(count * size * data.BYTES_PER_ELEMENT);
      using columns = device.allocate(size * 4);
      using status = device.allocate(4);
      device.write(stored, data.subarray(first * size, (first + count) * size));
      device.write(columns, Uint32Array.from(dead));
      device.write(status, new Uint32Array(1));
      device.run(kernels.widen(count, size, dtype), { stored, dead: columns, weight: into, status });
      if (new Uint32Array(await device.read(status, 4))[0] !== 0) refuseNotFinite(weightValues(weight));
    };
  }

  #upperOf(factor: InverseFactor | ResidentFactor): ProgramBuffer {
    if (!('upper' in factor)) {
      const owned = this.#owned.get(factor);
      if (owned === undefined) throw new Error('the factor was disposed');
      return owned;
    }
    if (this.#copied?.factor !== factor) {
      this.#dropCopy();
      const upper = this.#device.allocate(factor.upper.byteLength);
      this.#device.write(upper, factor.upper);
      this.#copied = { factor, upper };
    }
    return this.#copied.upper;
  }

  async #strip(
    source: WeightSource,
    first: number,
    rows: number,
    factor: InverseFactor | ResidentFactor,
    quantizer: SweepQuantizer,
    plan: GroupPlan,
  ): Promise<{ codes: Uint8Array; grids: Float32Array; losses: Float32Array }> {
    const [device, kernels] = [this.#device, this.#kernels];
    const { size } = factor;
    const bits = rows * size * codeField(plan.scheme.bits, size);
    const packedBytes = Math.ceil(bits / 32) * 4;
    const order = columnsInOrder(size, factor.order);
    const place = new Uint32Array(size);
    for (const [position, column] of order.entries()) place[column] = position;
    using scratch = new Scratch(device);
    const buffers = {
      weight: scratch.allocate(rows * size * 4),
      order: scratch.allocate(size * 4, order),
      place: scratch.allocate(size * 4, place),
      groupOf: scratch.allocate(size * 4, plan.positions),
      upper: this.#upperOf(factor),
      y: scratch.allocate(size * rows * 4),
      errors: scratch.allocate(kernels.blockColumns * rows * 4),
      grids: scratch.allocate(plan.groups * rows * 16),
      codes: scratch.allocate(size * rows * 4),
      losses: scratch.allocate(rows * 8),
      packed: scratch.allocate(packedBytes),
    };
    await source(first, rows, buffers.weight);
    device.run(kernels.sweep(rows, size, quantizer, plan), buffers);
    return {
      codes: new Uint8Array(await device.read(buffers.packed, packedBytes), 0, bits / 8),
      grids: new Float32Array(await device.read(buffers.grids, plan.groups * rows * 16)),
      losses: new Float32Array(await device.read(buffers.losses, rows * 8)),
    };
  }
}

/** Puts `count` rows from `first` on, dead columns 0, into a float32 buffer. @throws PARE_WEIGHT_NOT_FINITE */
type WeightSource = (first: number, count: number, into: ProgramBuffer) => Promise<void>;

function columnsInOrder(size: number, order: Int32Array | undefined): Uint32Array {
  return Uint32Array.from({ length: size }, (_, position) => order?.[position] ?? position);
}

function refuseNotFinite(values: Float32Array): void {
  const index = values.findIndex((value) => !Number.isFinite(value));
  if (index !== -1) throw pareError('PARE_WEIGHT_NOT_FINITE', { tensor: 'weight', index, value: String(values[index]) });
}
