import type { Calls, Failure, FromWorker, RunEvent, ToWorker } from './protocol';

/** A failure that the worker told. */
export class WorkerFailure extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** Calls to the worker in which everything heavy happens. */
export class WorkerClient {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #next = 0;

  constructor(onEvent: (event: RunEvent) => void) {
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'pare' });
    this.#worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
      if ('event' in data) {
        onEvent(data.event);
        return;
      }
      const waiting = this.#waiting.get(data.call);
      this.#waiting.delete(data.call);
      if ('failure' in data) waiting?.reject(new WorkerFailure(data.failure));
      else waiting?.resolve(data.result);
    });
    this.#worker.addEventListener('error', (event) => {
      this.#fail({ code: undefined, message: event.message || 'the worker of this page could not be started', help: 'Reload the page.' });
    });
  }

  call<K extends keyof Calls>(name: K, ...values: Parameters<Calls[K]>): Promise<Awaited<ReturnType<Calls[K]>>> {
    const call = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(call, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker.postMessage({ call, name, values } satisfies ToWorker);
    });
  }

  /** Ends the worker whatever it does; what it was asked fails. */
  terminate(): void {
    this.#worker.terminate();
    this.#fail({ code: 'PARE_ABORTED', message: 'the run was stopped', help: undefined });
  }

  #fail(failure: Failure): void {
    for (const { reject } of this.#waiting.values()) reject(new WorkerFailure(failure));
    this.#waiting.clear();
  }
}
