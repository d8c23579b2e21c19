import {
  checkRunInputs,
  elementCount,
  isPareError,
  pareError,
  readInitializer,
  tensorBytes,
  throwIfAborted,
  viewAs,
  type DeviceTensor,
  type DType,
  type Executable,
  type Graph,
  type HostTensor,
  type MemoryTally,
  type RunOptions,
} from '@pare/core';
import type { DeviceBuffer, KernelDevice } from './device.js';
import { ExecutorTensor, foreignTensor, Storage } from './device-tensor.js';
import { lowerGraph, type LoweredGraph, type PlannedTensor } from './lowering/lower-graph.js';
import type { LoweringTarget } from './lowering/lowering.js';
import type { BufferPool } from './planning/buffer-pool.js';
import { bytesOf, Plan } from './planning/plan.js';

/** What an executable shares with its backend. */
export interface ExecutorContext {
  readonly id: string;
  readonly device: KernelDevice;
  readonly pool: BufferPool;
  readonly tally: MemoryTally;
  readonly target: LoweringTarget;
  /** Tells whoever runs the backend; a message that it knows already has no effect. */
  readonly warn: (message: string) => void;
}

/** Plans kept for different shapes of the inputs. */
const keptPlans = 24;
/** Kernels handed in at once; between such batches a run can stop. */
const batchSize = 96;
/** Batches on their way at once: enough to keep the device busy, few enough to stop soon and to spare the driver. */
const batchesInFlight = 4;
/** Elements read by a plan above which it is not kept: another run will hardly read the same. */
const keptReads = 1 << 14;

/** A graph on a kernel device. Plans are made for each new set of input shapes, and kept. */
export class ExecutorExecutable implements Executable {
  readonly graph: Graph;
  readonly #context: ExecutorContext;
  readonly #plans = new Map<string, Promise<Plan>>();
  readonly #constants: ReadonlyMap<string, Storage>;
  readonly #known = new Set<Plan>();
  #disposed = false;

  private constructor(graph: Graph, context: ExecutorContext, constants: ReadonlyMap<string, Storage>) {
    this.graph = graph;
    this.#context = context;
    this.#constants = constants;
  }

  /** Uploads the graph's constants. */
  static async create(graph: Graph, context: ExecutorContext): Promise<ExecutorExecutable> {
    const constants = new Map<string, Storage>();
    for (const [name, initializer] of graph.initializers) {
      const tensor = await readInitializer(initializer);
      const buffer = context.pool.acquire(Math.max(4, tensorBytes(tensor)));
      context.device.upload(buffer, bytesOf(tensor));
      constants.set(name, new Storage(context.pool, buffer).hold());
    }
    return new ExecutorExecutable(graph, context, constants);
  }

  async run(inputs: Readonly<Record<string, DeviceTensor>>, options: RunOptions = {}): Promise<Record<string, DeviceTensor>> {
    const { graph } = this;
    const { id, device } = this.#context;
    const what = `the run of graph "${graph.name}"`;
    throwIfAborted(options.signal, what);
    if (this.#disposed) throw this.#failure('the executable was disposed');
    checkRunInputs(id, graph, inputs);
    const run = new Run(this.#context, what, options.signal);
    try {
      for (const { name } of graph.inputs) {
        const tensor = inputs[name]!;
        if (!(tensor instanceof ExecutorTensor)) throw foreignTensor(id, `run of graph "${graph.name}", input "${name}",`);
        run.borrow(name, tensor.storage(device, id, `run of graph "${graph.name}", input "${name}",`));
      }
      return await this.#runPlans(run, inputs, options.outputs);
    } catch (error) {
      if (isPareError(error) && error.code === 'PARE_GRAPH_INVALID')
        throw this.#failure(`node ${String(error.data['node'])}: ${String(error.data['problem'])}`, error);
      throw error;
    } finally {
      run.end();
    }
  }

  async #runPlans(run: Run, inputs: Readonly<Record<string, DeviceTensor>>, wanted: readonly string[] | undefined): Promise<Record<string, DeviceTensor>> {
    const inputShapes = Object.fromEntries(this.graph.inputs.map(({ name }) => [name, inputs[name]!.shape]));
    const reads: HostTensor[] = [];
    for (;;) {
      const plan = await this.#plan(inputShapes, wanted, reads);
      await run.advance(plan, this.#constants);
      const { needs, outputs } = plan.lowered;
      if (!this.#known.has(plan)) run.adopt(plan);
      if (needs === undefined) return run.outputs(outputs!, plan);
      reads.push(await run.read(needs));
    }
  }

  /** The plan for these shapes and elements: a kept one, or a new one. */
  async #plan(inputShapes: Readonly<Record<string, readonly number[]>>, wanted: readonly string[] | undefined, reads: readonly HostTensor[]): Promise<Plan> {
    const { device, pool, target } = this.#context;
    const make = async (): Promise<Plan> => Plan.prepare(device, pool, this.#lower(target, inputShapes, wanted, reads));
    if (reads.reduce((sum, { data }) => sum + data.length, 0) > keptReads) return make();
    const key = planKey(inputShapes, wanted, reads);
    let plan = this.#plans.get(key);
    if (plan === undefined) plan = make();
    // Moved to the end: the first key is the one longest unused.
    this.#plans.delete(key);
    this.#plans.set(key, plan);
    plan.catch(() => this.#plans.delete(key));
    const made = await plan;
    this.#known.add(made);
    while (this.#plans.size > keptPlans) {
      const [oldest, pending] = [...this.#plans][0]!;
      this.#plans.delete(oldest);
      void pending.then((old) => {
        this.#known.delete(old);
        old.dispose();
      });
    }
    return made;
  }

  #lower(target: LoweringTarget, inputShapes: Readonly<Record<string, readonly number[]>>, wanted: readonly string[] | undefined, reads: readonly HostTensor[]): LoweredGraph {
    const lowered = lowerGraph(target, { graph: this.graph, wanted, inputShapes, reads });
    for (const { node, reason } of lowered.onHost) this.#context.warn(`${node.domain === '' ? '' : `${node.domain}::`}${node.operator} runs on the host: ${reason}`);
    return lowered;
  }

  #failure(reason: string, cause?: unknown): Error {
    return pareError('PARE_BACKEND_RUN_FAILED', { backend: this.#context.id, graph: this.graph.name, reason }, cause);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const result of await Promise.allSettled(this.#plans.values())) if (result.status === 'fulfilled') result.value.dispose();
    this.#plans.clear();
    for (const storage of this.#constants.values()) storage.release();
  }
}

function planKey(inputShapes: Readonly<Record<string, readonly number[]>>, wanted: readonly string[] | undefined, reads: readonly HostTensor[]): string {
  const shapes = Object.values(inputShapes).map((shape) => shape.join());
  return [shapes.join(';'), wanted?.join() ?? '*', ...reads.map(({ data }) => Array.from(data as ArrayLike<number | bigint>, String).join())].join('|');
}

/** One run: where its buffers are, how far it has come, and what must be given back at its end. */
class Run {
  readonly #context: ExecutorContext;
  readonly #what: string;
  readonly #signal: AbortSignal | undefined;
  readonly #inputs = new Map<string, Storage>();
  readonly #buffers = new Map<number, DeviceBuffer>();
  /** Buffers whose life this run shares, by plan buffer. */
  readonly #storages = new Map<number, Storage>();
  /** Results and values that later steps may need. */
  readonly #held: Storage[] = [];
  readonly #slots: DeviceBuffer[] = [];
  readonly #adopted: Plan[] = [];
  #step = 0;
  #slotBytes = 0;
  #counted = false;

  constructor(context: ExecutorContext, what: string, signal: AbortSignal | undefined) {
    this.#context = context;
    this.#what = what;
    this.#signal = signal;
  }

  /** Uses an input's memory until the end of the run, whatever its owner does meanwhile. */
  borrow(name: string, storage: Storage): void {
    this.#inputs.set(name, storage.hold());
  }

  /** Disposes a plan with the run. */
  adopt(plan: Plan): void {
    this.#adopted.push(plan);
  }

  /** Keeps a plan that may be dropped from the kept ones while the run is on. */
  #keep(plan: Plan): void {
    plan.hold();
    this.#adopted.push(plan);
  }

  /** Runs the plan's steps from where the last plan ended; equal steps come first in both. */
  async advance(plan: Plan, constants: ReadonlyMap<string, Storage>): Promise<void> {
    const { device, pool, tally } = this.#context;
    const { buffers, steps, needs } = plan.lowered;
    const whole = this.#step === 0 && needs === undefined;
    this.#keep(plan);
    if (whole) {
      this.#slots.push(...plan.memory.slots.map((bytes) => pool.acquire(bytes)));
      this.#slotBytes = plan.workingBytes;
      // The working memory of a run counts as one tensor while it lasts.
      tally.added(this.#slotBytes);
      this.#counted = true;
    }
    for (const { id, bytes, origin } of buffers) {
      if (this.#buffers.has(id)) continue;
      switch (origin.kind) {
        case 'input':
          this.#share(id, this.#inputs.get(origin.name)!);
          break;
        case 'constant':
          this.#share(id, constants.get(origin.name)!);
          break;
        case 'upload':
          // Plans come and go while a run reads elements: what it works with is its own unless one plan does it all.
          if (whole) this.#buffers.set(id, plan.upload(id)!);
          else this.#own(id, pool.acquire(Math.max(4, bytes)), origin.tensor);
          break;
        case 'computed': {
          const slot = whole ? plan.memory.slotOf.get(id) : undefined;
          if (slot !== undefined) this.#buffers.set(id, this.#slots[slot]!);
          else this.#own(id, pool.acquire(bytes));
        }
      }
    }
    const inFlight: Promise<void>[] = [];
    while (this.#step < steps.length) {
      throwIfAborted(this.#signal, this.#what);
      const end = Math.min(steps.length, this.#step + batchSize);
      device.submit(plan.launches(this.#buffers, this.#step, end));
      this.#step = end;
      if (end === steps.length) break;
      inFlight.push(device.idle());
      if (inFlight.length >= batchesInFlight) await inFlight.shift();
    }
    await device.settle();
  }

  /** Elements of a computed tensor. */
  async read({ buffer, dtype, shape }: PlannedTensor): Promise<HostTensor> {
    return download(this.#context.device, this.#buffers.get(buffer.id)!, dtype, shape);
  }

  /** Hands the outputs out. */
  outputs(planned: ReadonlyMap<string, PlannedTensor>, plan: Plan): Record<string, DeviceTensor> {
    const { device, pool, tally } = this.#context;
    const results: Record<string, DeviceTensor> = {};
    for (const [name, { buffer, dtype, shape }] of planned) {
      let storage = this.#storages.get(buffer.id);
      if (storage === undefined) {
        // Elements that the host computed while planning belong to the plan: the output is a copy.
        const { origin } = plan.lowered.buffers[buffer.id]!;
        if (origin.kind !== 'upload') throw new Error(`output "${name}" has no memory`);
        storage = new Storage(pool, pool.acquire(buffer.bytes));
        device.upload(storage.buffer, bytesOf(origin.tensor));
      }
      results[name] = new ExecutorTensor(device, tally, dtype, shape, storage);
    }
    return results;
  }

  end(): void {
    const { pool, tally } = this.#context;
    for (const storage of this.#inputs.values()) storage.release();
    for (const storage of this.#held) storage.release();
    for (const buffer of this.#slots) pool.release(buffer);
    if (this.#counted) tally.removed(this.#slotBytes);
    for (const plan of this.#adopted) plan.dispose();
  }

  #share(id: number, storage: Storage): void {
    this.#storages.set(id, storage);
    this.#buffers.set(id, storage.buffer);
  }

  #own(id: number, buffer: DeviceBuffer, content?: HostTensor): void {
    const storage = new Storage(this.#context.pool, buffer).hold();
    this.#held.push(storage);
    if (content !== undefined) this.#context.device.upload(buffer, bytesOf(content));
    this.#share(id, storage);
  }
}

/** A tensor's elements from a buffer. */
export async function download(device: KernelDevice, buffer: DeviceBuffer, dtype: DType, shape: readonly number[]): Promise<HostTensor> {
  const bytes = tensorBytes({ dtype, shape });
  const data = bytes === 0 ? new ArrayBuffer(0) : await device.download(buffer, bytes);
  return { dtype, shape: [...shape], data: viewAs(dtype, data, 0, elementCount(shape)) };
}
