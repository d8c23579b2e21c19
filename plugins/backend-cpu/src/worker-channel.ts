import { pareError, throwIfAborted, type PareError } from '@pare/core';
import type { Worker } from 'node:worker_threads';
import { sharedWords, type Answer, type Call, type Failure, type Notice, type Reply, type WorkerSettings } from './protocol.js';
import { startWorker } from './worker-source.js';

interface Waiting {
  readonly resolve: (value: Answer) => void;
  readonly reject: (error: Error) => void;
  readonly explain: (failure: Failure) => Error;
}

const openChannels = new Set<WorkerChannel>();
let listening = false;

/**
 * Node ends worker threads at the end of the process without regard to what they do, and onnxruntime's binding aborts the process when
 * its thread's JavaScript is gone at the end of an operation. So the end of the process waits for the operation.
 */
function listenForExit(): void {
  if (listening) return;
  listening = true;
  process.on('exit', () => {
    for (const channel of openChannels) channel.settle();
  });
}

/** Milliseconds that the end of the process waits for an operation. */
const longestWait = 60_000;

/** Messages to and from the worker thread. Requests are handled in the order they are sent. */
export class WorkerChannel {
  readonly #backend: string;
  readonly #worker: Worker;
  readonly #shared: Int32Array<SharedArrayBuffer>;
  readonly #waiting = new Map<number, Waiting>();
  readonly #exited: Promise<void>;
  #lastCall = 0;
  #lastTicket = 0;
  #lost: PareError | undefined;

  private constructor(backend: string, worker: Worker, shared: Int32Array<SharedArrayBuffer>) {
    this.#backend = backend;
    this.#worker = worker;
    this.#shared = shared;
    this.#exited = new Promise((resolve) => {
      worker.once('exit', (code) => {
        openChannels.delete(this);
        this.#lose(`its worker thread ended with code ${String(code)}`);
        resolve();
      });
    });
    worker.on('error', (error) => {
      this.#lose(error instanceof Error ? error.message : String(error), error);
    });
    worker.on('messageerror', (error) => {
      this.#lose(`a message could not be read: ${error.message}`, error);
    });
  }

  /**
   * Starts a worker and waits until onnxruntime is loaded in it.
   * @throws PARE_BACKEND_UNAVAILABLE when it does not load.
   */
  static async open(backend: string, threads: number): Promise<WorkerChannel> {
    const shared = new Int32Array(new SharedArrayBuffer(4 * sharedWords.count));
    const worker = startWorker({ workerData: { threads, shared } satisfies WorkerSettings, name: `pare ${backend}` });
    const channel = new WorkerChannel(backend, worker, shared);
    try {
      await new Promise<void>((resolve, reject) => {
        const unavailable = (reason: string, cause?: unknown): void => {
          reject(pareError('PARE_BACKEND_UNAVAILABLE', { backend, reason }, cause));
        };
        worker.once('message', (reply: Reply) => {
          if (reply.kind === 'ready') resolve();
          else unavailable(reply.kind === 'unusable' ? reply.message : 'its worker thread sent an unexpected message');
        });
        worker.once('error', (error) => {
          unavailable(error instanceof Error ? error.message : String(error), error);
        });
        worker.once('exit', (code) => {
          unavailable(`its worker thread ended with code ${String(code)} while it started`);
        });
      });
    } catch (error) {
      await worker.terminate();
      throw error;
    }
    worker.on('message', (reply: Reply) => {
      channel.#receive(reply);
    });
    // A backend that nobody disposed must not keep the process alive; calls in flight do.
    worker.unref();
    openChannels.add(channel);
    listenForExit();
    return channel;
  }

  /** Sends a message that needs no answer. @throws PARE_BACKEND_LOST */
  notify(notice: Notice, transfer: readonly ArrayBuffer[] = []): void {
    this.throwIfLost();
    this.#worker.postMessage(notice, transfer);
  }

  /** Sends a message unless the worker is gone, for disposals. */
  notifyIfAlive(notice: Notice): void {
    if (this.#lost === undefined) this.#worker.postMessage(notice);
  }

  /** Sends a call and resolves with its answer. Rejects with what `explain` makes of a failure, or with PARE_BACKEND_LOST. */
  call(call: Call, explain: (failure: Failure) => Error, transfer: readonly ArrayBuffer[] = []): Promise<Answer> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const number = ++this.#lastCall;
    return new Promise((resolve, reject) => {
      this.#worker.postMessage({ ...call, call: number }, transfer);
      if (this.#waiting.size === 0) this.#worker.ref();
      this.#waiting.set(number, { resolve, reject, explain });
    });
  }

  /** A number under which a run can be cancelled. */
  ticket(): number {
    // Int32 flags; the number only has to differ from others that wait at the same time, and from the zero of an unused slot.
    this.#lastTicket = (this.#lastTicket % 0x7fffffff) + 1;
    return this.#lastTicket;
  }

  /** Marks a run as cancelled: the worker drops it when it has not begun, and discards its outputs when it has. */
  cancel(ticket: number): void {
    Atomics.store(this.#shared, sharedWords.cancelled(ticket), ticket);
  }

  throwIfLost(): void {
    if (this.#lost !== undefined) throw this.#lost;
  }

  /**
   * Ends the worker and rejects what is waiting. A native operation cannot be interrupted: the thread ends when the one that runs returns.
   * Resolves when the thread is gone and its memory with it.
   */
  async close(reason: string): Promise<void> {
    if (this.#lost === undefined) {
      this.#lose(reason);
      Atomics.store(this.#shared, sharedWords.closing, 1);
      this.#worker.postMessage({ kind: 'close' } satisfies Notice);
      this.#worker.ref();
    }
    await this.#exited;
  }

  /** Takes no new requests, and blocks until no native operation runs. */
  settle(): void {
    Atomics.store(this.#shared, sharedWords.closing, 1);
    Atomics.wait(this.#shared, sharedWords.busy, 1, longestWait);
  }

  #receive(reply: Reply): void {
    if (reply.kind !== 'done' && reply.kind !== 'failed') return;
    const waiting = this.#waiting.get(reply.call);
    if (waiting === undefined) return;
    this.#waiting.delete(reply.call);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (reply.kind === 'done') waiting.resolve(reply.value);
    else waiting.reject(waiting.explain(reply.failure));
  }

  #lose(reason: string, cause?: unknown): void {
    this.#lost ??= pareError('PARE_BACKEND_LOST', { backend: this.#backend, reason }, cause);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#lost);
    this.#waiting.clear();
  }
}

/** Runs `start` under a signal that cancels `ticket`. @throws PARE_ABORTED at once when the signal has fired before. */
export async function withCancellation<T>(channel: WorkerChannel, ticket: number, signal: AbortSignal | undefined, what: string, start: () => Promise<T>): Promise<T> {
  throwIfAborted(signal, what);
  if (signal === undefined) return start();
  const cancel = (): void => {
    channel.cancel(ticket);
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await start();
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}
