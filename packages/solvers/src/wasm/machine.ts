import type * as NodeOs from 'node:os';
import type * as NodeWorkerThreads from 'node:worker_threads';
import { maximumPages } from './memory.js';
import { webAssembly, type WasmMemory, type WasmModule } from './web-assembly.js';
import { plainKernels, sharedKernels } from './kernels.gen.js';

/** The kernels that assembly/index.ts exports. */
export type KernelName = 'cholesky' | 'invert' | 'loadStrips' | 'packFactor' | 'propagateStrips' | 'sweepPruner' | 'sweepQuantizer';

/** Runs kernels over a memory, on one thread or several. */
export interface Machine {
  readonly memory: WasmMemory;
  /** Threads that run a kernel, at least 1. */
  readonly threads: number;
  /** True when kernels run on the calling thread and should do a little at a time. */
  readonly inline: boolean;
  /** Runs a kernel on every thread; resolves to the largest result. Control address, thread and thread count are appended to `values`. */
  run(kernel: KernelName, values: readonly number[]): Promise<number>;
  /** Runs a short kernel on the calling thread alone. */
  runHere(kernel: KernelName, values: readonly number[]): number;
  dispose(): Promise<void>;
}

type Kernels = Record<KernelName, (...values: number[]) => number | undefined>;

/** Milliseconds that an inline machine computes before it lets other work of its thread have a turn. */
const slice = 30;

/** Kernels on the calling thread. */
export async function createInlineMachine(): Promise<Machine> {
  const memory = new webAssembly.Memory({ initial: 1, maximum: maximumPages });
  const kernels = await instantiate(await webAssembly.compile(decode(plainKernels)), memory);
  let since = performance.now();
  const runHere = (kernel: KernelName, values: readonly number[]): number => kernels[kernel](...values, 0, 0, 1) ?? 0;
  return {
    memory,
    threads: 1,
    inline: true,
    runHere,
    async run(kernel, values) {
      const result = runHere(kernel, values);
      if (performance.now() - since > slice) {
        await new Promise((resolve) => setTimeout(resolve, 0));
        since = performance.now();
      }
      return result;
    },
    dispose: () => Promise.resolve(),
  };
}

/** What a worker thread runs: kernels by name over the shared memory. */
const workerScript = `
const { parentPort, workerData: { module, memory, thread, threads } } = require('node:worker_threads');
const { exports: kernels } = new WebAssembly.Instance(module, { env: { memory } });
parentPort.on('message', ({ kernel, values }) => parentPort.postMessage(kernels[kernel](...values, 0, thread, threads) ?? 0));
`;

/** Kernels on worker threads of Node over one shared memory. */
export async function createThreadedMachine(threads: number): Promise<Machine> {
  const workers = workerThreads();
  if (workers === undefined) throw new RangeError('this JavaScript engine has no worker threads that can share memory; use threads: 0');
  const memory = new webAssembly.Memory({ initial: 1, maximum: maximumPages, shared: true });
  const module = await webAssembly.compile(decode(sharedKernels));
  const here = await instantiate(module, memory);
  const pool = Array.from({ length: threads }, (_, thread) => {
    const worker = new workers.Worker(workerScript, { eval: true, execArgv: [], workerData: { module, memory, thread, threads } });
    // Idle threads do not keep the process alive; `run` holds on to them while it waits.
    worker.unref();
    return worker;
  });
  let broken: Error | undefined;
  const stop = async (): Promise<void> => {
    await Promise.all(pool.map((worker) => worker.terminate()));
  };
  const one = (worker: NodeWorkerThreads.Worker, kernel: KernelName, values: readonly number[]): Promise<number> =>
    new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        worker.off('message', onMessage);
        worker.off('error', onError);
        worker.off('exit', onExit);
        worker.unref();
        act();
      };
      const onMessage = (result: number): void => settle(() => resolve(result));
      const onError = (error: Error): void => settle(() => reject(error));
      const onExit = (): void => settle(() => reject(new Error('a solver thread ended')));
      worker.on('message', onMessage);
      worker.on('error', onError);
      worker.on('exit', onExit);
      worker.ref();
      worker.postMessage({ kernel, values });
    });
  return {
    memory,
    threads,
    inline: false,
    runHere: (kernel, values) => here[kernel](...values, 0, 0, 1) ?? 0,
    async run(kernel, values) {
      if (broken !== undefined) throw broken;
      try {
        return Math.max(...(await Promise.all(pool.map((worker) => one(worker, kernel, values)))));
      } catch (error) {
        // The others may wait at a barrier for the thread that is gone.
        broken = error as Error;
        await stop();
        throw error;
      }
    },
    dispose: stop,
  };
}

/** Threads that `createColumnSolver` uses by default: one per core where worker threads exist, else 0. */
export function defaultThreads(): number {
  if (workerThreads() === undefined) return 0;
  const os = builtin('node:os') as typeof NodeOs;
  return Math.min(os.availableParallelism(), 64);
}

function workerThreads(): typeof NodeWorkerThreads | undefined {
  return builtin('node:worker_threads') as typeof NodeWorkerThreads | undefined;
}

/** A module of Node when running there. Asking the process keeps `node:` imports out of bundles for browsers. */
function builtin(name: string): unknown {
  const host = (globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } }).process;
  return host?.getBuiltinModule?.(name);
}

async function instantiate(module: WasmModule, memory: WasmMemory): Promise<Kernels> {
  const instance = await webAssembly.instantiate(module, { env: { memory } });
  return instance.exports as Kernels;
}

function decode(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
}
