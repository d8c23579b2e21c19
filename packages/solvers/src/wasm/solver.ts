import { pareError, throwIfAborted } from '@pare/core';
import { powerTable, type ScaleType } from '@pare/weights';
import type { QuantizedWeight } from '@pare/core';
import type { ColumnSolver, FactorizeRequest, InverseFactor, SweepRequest, SweepResult } from '../contract.js';
import { loadReversed, planHessian, withDamping } from '../hessian.js';
import { blockMask, checkPruner, isPrunerRule, prunerQuantizer, type PrunedMatrix, type SweepPruner } from '../pruner-rule.js';
import { isQuantizerRule, planGroups, type GroupPlan, type QuantizerRule } from '../quantizer-rule.js';
import { checkSweep, driveSweep, withoutDeadColumns, type Propagator } from '../sweep-driver.js';
import { createInlineMachine, createThreadedMachine, defaultThreads, type Machine } from './machine.js';
import { Arena } from './memory.js';

/** Rows of a strip, columns of a Cholesky panel and of a band of the inverse, as in assembly/. */
const stripRows = 16;
const panelWidth = 64;
const bandWidth = 32;
/** Bytes of a strip's grids for each group. */
const gridBytes = 320;

const scaleTypes: Readonly<Record<ScaleType, number>> = { float32: 0, float16: 1, bfloat16: 2 };

export interface ColumnSolverOptions {
  /** Worker threads; 0 computes on the calling thread, a little at a time. By default one per core in Node, 0 elsewhere. */
  readonly threads?: number | undefined;
}

/** A column solver in WebAssembly SIMD. Threads start at the first call. */
export function createColumnSolver(options: ColumnSolverOptions = {}): ColumnSolver {
  const threads = options.threads ?? defaultThreads();
  let engine: Promise<Engine> | undefined;
  let tail: Promise<unknown> = Promise.resolve();
  let disposed = false;
  const queue = <T>(signal: AbortSignal | undefined, what: string, work: (engine: Engine) => Promise<T>): Promise<T> => {
    const job = tail.then(async () => {
      if (disposed) throw new Error('the column solver was disposed');
      throwIfAborted(signal, what);
      engine ??= (threads === 0 ? createInlineMachine() : createThreadedMachine(threads)).then((machine) => new Engine(machine));
      return work(await engine);
    });
    tail = job.catch(() => undefined);
    return job;
  };
  return {
    factorize: (request) => queue(request.signal, 'the factorization', (kernels) => kernels.factorize(request)),
    sweep: (request) => queue(request.signal, 'the column sweep', (kernels) => kernels.sweep(request)),
    async dispose() {
      if (disposed) return;
      disposed = true;
      await tail;
      await (await engine)?.dispose();
    },
  };
}

/** One job at a time over one memory. */
class Engine {
  readonly #machine: Machine;
  readonly #arena: Arena;
  /** The factor whose packed form lies at the bottom of the memory, and where room above it begins. */
  #packed: { factor: InverseFactor; address: number; end: number } | undefined;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#arena = new Arena(machine.memory);
  }

  dispose(): Promise<void> {
    return this.#machine.dispose();
  }

  async factorize(request: FactorizeRequest): Promise<InverseFactor> {
    const { size, signal } = request;
    const arena = this.#arena;
    const plan = planHessian(request);
    this.#packed = undefined;
    arena.reset();
    // Rows are whole quads of columns; what kernels write beyond the last column stays in their row.
    const stride = Math.ceil(size / 4) * 4;
    const lower = arena.reserve(stride * size * 8);
    const upper = arena.reserve(size * size * 4);
    const shared = arena.next;
    const panel = arena.reserve(panelWidth * size * 8);
    const diagonal = arena.reserve((panelWidth * panelWidth + panelWidth) * 8);
    arena.reset(shared);
    const bands = arena.reserve(Math.max(this.#machine.threads * (size + 3) * bandWidth * 8, diagonal + panelWidth * (panelWidth + 1) * 8 - shared));
    return this.#guard(signal, 'the factorization', async () => {
      const { damping } = await withDamping(request, async (candidate) => {
        arena.clearControl();
        loadReversed(request, plan, candidate, arena.float64(lower, stride * size), stride);
        const step = this.#machine.inline ? panelWidth : size;
        for (let column = 0; column < size; column += step) {
          throwIfAborted(signal, 'the factorization');
          await this.#machine.run('cholesky', [lower, size, stride * 8, column, Math.min(column + step, size), panel, diagonal]);
          if (arena.failure > size) throwIfAborted(signal, 'the factorization');
          if (arena.failure !== 0) return undefined;
        }
        return true;
      });
      arena.clearTickets();
      arena.float32(upper, size * size).fill(0);
      while ((await this.#machine.run('invert', [lower, size, stride * 8, upper, bands, this.#machine.inline ? 1 : 0])) !== 0) {
        throwIfAborted(signal, 'the factorization');
      }
      throwIfAborted(signal, 'the factorization');
      return { size, order: plan.order, upper: arena.float32(upper, size * size).slice(), damping, dead: plan.dead, diagonal: plan.diagonal };
    });
  }

  async sweep<R>(request: SweepRequest<R>): Promise<SweepResult<R>> {
    checkSweep(request);
    const { rule } = request;
    return this.#guard(request.signal, 'the column sweep', async () => {
      const packed = await this.#pack(request.factor);
      // The rules' own types say what their results are.
      if (isQuantizerRule(rule)) return (await this.#sweepQuantizer(request, rule, packed)) as SweepResult<R>;
      if (isPrunerRule(rule)) return (await this.#sweepPruner(request, rule.pruner, packed)) as SweepResult<R>;
      return this.#sweepRule(request, packed);
    });
  }

  /** Asks kernels to stop when the signal fires while `work` runs. */
  async #guard<T>(signal: AbortSignal | undefined, what: string, work: () => Promise<T>): Promise<T> {
    const onAbort = (): void => this.#arena.requestAbort();
    this.#arena.clearControl();
    signal?.addEventListener('abort', onAbort);
    try {
      const result = await work();
      throwIfAborted(signal, what);
      return result;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Puts the packed form of a factor at the bottom of the memory, unless it is there from the sweep before. */
  async #pack(factor: InverseFactor): Promise<number> {
    const arena = this.#arena;
    if (this.#packed?.factor === factor) {
      arena.reset(this.#packed.end);
      return this.#packed.address;
    }
    this.#packed = undefined;
    arena.reset();
    const { size, upper } = factor;
    const quads = Math.ceil(size / 4);
    const address = arena.reserve(32 * quads * (quads + 1));
    const end = arena.next;
    const source = arena.reserve(size * size * 4);
    arena.float32(source, size * size).set(upper);
    await this.#machine.run('packFactor', [source, size, address]);
    arena.reset(end);
    this.#packed = { factor, address, end };
    return address;
  }

  async #sweepQuantizer(request: SweepRequest<unknown>, rule: QuantizerRule, packed: number): Promise<SweepResult<QuantizedWeight>> {
    const { quantizer } = rule;
    const { rows, factor, blockSize = 128, signal } = request;
    const { size } = factor;
    const arena = this.#arena;
    const plan = planGroups(quantizer, size, factor.order);
    const { scheme, groups, dynamic } = plan;
    const grids = rows * groups;
    const power = quantizer.clip === 'mse' ? powerTable(quantizer.norm ?? 2.4) : undefined;
    const weight = arena.reserve(rows * size * 4);
    const order = arena.reserve(size * 4);
    const positions = arena.reserve(size * 4);
    const table = power === undefined ? 0 : arena.reserve(power.values.length * 8);
    const mask = rule.mask === undefined ? 0 : arena.reserve(rows * size);
    const codes = arena.reserve(rows * size);
    const scales = arena.reserve(grids * 4);
    const zeros = arena.reserve(grids);
    const losses = arena.reserve(rows * 8);
    const scratch = arena.reserve(this.#machine.threads * (size * 68 + groups * gridBytes + 208));
    withoutDeadColumns(request.weight, rows, factor.dead, arena.float32(weight, rows * size));
    arena.int32(order, size).set(factor.order ?? Int32Array.from({ length: size }, (_, column) => column));
    arena.int32(positions, size).set(plan.positions);
    if (power !== undefined) arena.float64(table, power.values.length).set(power.values);
    if (rule.mask !== undefined) arena.uint8(mask, rows * size).set(rule.mask);
    arena.clearTickets();
    const values = [
      ...[weight, rows, size, order, packed, positions, groups, scheme.groupSize, Number(dynamic)],
      ...[scheme.bits, Number(scheme.symmetric), scaleTypes[quantizer.scaleType], table, power?.doubling ?? 0, blockSize, mask],
      ...[codes, scales, zeros, losses, scratch, this.#machine.inline ? 1 : 0],
    ];
    while ((await this.#machine.run('sweepQuantizer', values)) !== 0) throwIfAborted(signal, 'the column sweep');
    throwIfAborted(signal, 'the column sweep');

    const rowLosses = arena.float64(losses, rows).slice();
    const loss = rowLosses.reduce((sum, row) => sum + row, 0);
    const result: QuantizedWeight = {
      form: 'quantized',
      shape: [rows, size],
      scheme,
      codes: arena.uint8(codes, rows * size).slice(),
      scales: arena.float32(scales, grids).slice(),
      scaleType: quantizer.scaleType,
      zeros: scheme.symmetric ? undefined : arena.uint8(zeros, grids).slice(),
      groupIndex: plan.groupIndex,
    };
    if (!Number.isFinite(loss)) explainInfinity(request.weight, result);
    return { result, loss, rowLosses };
  }

  async #sweepPruner(request: SweepRequest<unknown>, pruner: SweepPruner, packed: number): Promise<SweepResult<PrunedMatrix>> {
    const { rows, factor, blockSize = 128, signal } = request;
    const { size, upper } = factor;
    const { pattern, sparsity } = pruner;
    checkPruner(pruner, size, factor.order);
    const arena = this.#arena;
    const { threads, inline } = this.#machine;
    const quantizer = prunerQuantizer(pruner);
    const plan = quantizer === undefined ? undefined : planGroups(quantizer, size, factor.order);
    const groups = plan?.groups ?? 0;
    const power = quantizer?.clip === 'mse' ? powerTable(quantizer.norm ?? 2.4) : undefined;
    const strips = Math.ceil(rows / stripRows);
    const group = pattern.kind === 'grouped' ? pattern.group : 0;
    // Loaded into strips, then taken by the values.
    const weight = arena.reserve(rows * size * 4);
    const order = arena.reserve(size * 4);
    const positions = plan === undefined ? 0 : arena.reserve(size * 4);
    const table = power === undefined ? 0 : arena.reserve(power.values.length * 8);
    const mask = arena.reserve(rows * size);
    const codes = plan === undefined ? 0 : arena.reserve(rows * size);
    const losses = arena.reserve(strips * stripRows * 8);
    const grids = plan === undefined ? 0 : arena.reserve(strips * groups * gridBytes);
    const scratch = arena.reserve(threads * Math.max(64, group * 64));
    const data = arena.reserve(strips * size * stripRows * 4);
    withoutDeadColumns(request.weight, rows, factor.dead, arena.float32(weight, rows * size));
    const columns = factor.order ?? Int32Array.from({ length: size }, (_, column) => column);
    arena.int32(order, size).set(columns);
    if (plan !== undefined) arena.int32(positions, size).set(plan.positions);
    if (power !== undefined) arena.float64(table, power.values.length).set(power.values);
    arena.float64(losses, strips * stripRows).fill(0);
    arena.clearTickets();
    const { bits = 0, symmetric = false, scaleType = 'float32' } = quantizer ?? {};
    const grid = [grids, groups, plan?.scheme.groupSize ?? 0, bits, Number(symmetric), scaleTypes[scaleType], table, power?.doubling ?? 0];
    await this.#machine.run('loadStrips', [weight, rows, size, order, data, ...grid, scratch]);

    const sweep = async (first: number, last: number): Promise<void> => {
      arena.clearTickets();
      const range = [data, rows, size, packed, first, last, blockSize, order, pattern.kind === 'grouped' ? pattern.zeros : 0, group, mask, weight];
      const values = [...range, grids, positions, groups, bits, codes, losses, scratch, inline ? 1 : 0];
      while ((await this.#machine.run('sweepPruner', values)) !== 0) throwIfAborted(signal, 'the column sweep');
      throwIfAborted(signal, 'the column sweep');
    };
    if (group > 0) await sweep(0, size);
    else {
      const state = arena.float32(data, strips * size * stripRows);
      const chosen = arena.uint8(mask, rows * size);
      for (let start = 0; start < size; start += blockSize) {
        const count = Math.min(blockSize, size - start);
        const weightAt = (column: number, row: number): number => state[((row >> 4) * size + start + column) * stripRows + (row & 15)]!;
        const block = blockMask(rows, count, sparsity, weightAt, (column) => upper[(start + column) * (size + 1)]!);
        for (let row = 0; row < rows; row++) for (let column = 0; column < count; column++) chosen[row * size + columns[start + column]!] = block[row * count + column]!;
        await sweep(start, start + count);
      }
    }

    const rowLosses = arena.float64(losses, rows).slice();
    const loss = rowLosses.reduce((sum, row) => sum + row, 0);
    const quantized = plan === undefined ? undefined : stripGrids(arena, grids, rows, plan);
    const values: Float32Array | QuantizedWeight =
      quantized === undefined || quantizer === undefined
        ? arena.float32(weight, rows * size).slice()
        : { form: 'quantized', shape: [rows, size], codes: arena.uint8(codes, rows * size).slice(), scaleType: quantizer.scaleType, groupIndex: undefined, ...quantized };
    if (!Number.isFinite(loss)) explainInfinity(request.weight, values instanceof Float32Array ? undefined : values);
    return { result: { mask: arena.uint8(mask, rows * size).slice(), values }, loss, rowLosses };
  }

  /** Any other rule: it settles columns here, the kernels take the errors out of later ones. */
  async #sweepRule<R>(request: SweepRequest<R>, packed: number): Promise<SweepResult<R>> {
    const { rows, factor } = request;
    const { size, order } = factor;
    const arena = this.#arena;
    const machine = this.#machine;
    const strips = Math.ceil(rows / stripRows);
    const address = arena.reserve(strips * size * stripRows * 4);
    const weight = withoutDeadColumns(request.weight, rows, factor.dead);
    const data = arena.float32(address, strips * size * stripRows).fill(0);
    const at = (position: number, strip: number): number => (strip * size + position) * stripRows;
    for (let position = 0; position < size; position++) {
      const column = order?.[position] ?? position;
      for (let row = 0; row < rows; row++) data[at(position, row >> 4) + (row & 15)] = weight[row * size + column]!;
    }
    const propagator: Propagator = {
      read(position, into) {
        for (let row = 0; row < rows; row++) into[row] = data[at(position, row >> 4) + (row & 15)]!;
      },
      write(position, errors) {
        for (let row = 0; row < rows; row++) data[at(position, row >> 4) + (row & 15)] = errors[row]!;
      },
      propagate(first, last, from, to) {
        if (from >= to || first >= last) return;
        arena.clearTickets();
        const values = [address, strips, size, packed, first, last, from, to];
        // Products inside a block are too short to wake threads for.
        if (to < size || (last - first) * (to - from) * rows < 1e6) machine.runHere('propagateStrips', values);
        else return machine.run('propagateStrips', values).then(() => undefined);
      },
    };
    return driveSweep(request, weight, propagator);
  }
}

/** @throws PARE_WEIGHT_NOT_FINITE or PARE_SCALE_OVERFLOW when one of them is why a loss is not a number. */
function explainInfinity(weight: Float32Array, result: QuantizedWeight | undefined): void {
  const index = weight.findIndex((value) => !Number.isFinite(value));
  if (index !== -1) throw pareError('PARE_WEIGHT_NOT_FINITE', { tensor: 'weight', index, value: String(weight[index]) });
  const scale = result?.scales.find((value) => value === Infinity);
  if (result !== undefined && scale !== undefined) throw pareError('PARE_SCALE_OVERFLOW', { scale, scaleType: result.scaleType });
}

/** Scales and zeros out of the grids of strips, where they lie as [groups, 16 rows]. */
function stripGrids(arena: Arena, grids: number, rows: number, { scheme, groups }: GroupPlan): Pick<QuantizedWeight, 'scheme' | 'scales' | 'zeros'> {
  const scales = new Float32Array(rows * groups);
  const zeros = scheme.symmetric ? undefined : new Uint8Array(rows * groups);
  for (let strip = 0; strip * stripRows < rows; strip++) {
    const own = grids + strip * groups * gridBytes;
    const ofScales = arena.float32(own, groups * stripRows);
    // After scales (64 bytes a group) and divisors (128).
    const ofZeros = arena.float64(own + groups * 192, groups * stripRows);
    for (let group = 0; group < groups; group++) {
      for (let row = strip * stripRows; row < Math.min(rows, (strip + 1) * stripRows); row++) {
        const at = group * stripRows + (row % stripRows);
        scales[row * groups + group] = ofScales[at]!;
        if (zeros !== undefined) zeros[row * groups + group] = ofZeros[at]!;
      }
    }
  }
  return { scheme, scales, zeros };
}
