import { isPareError } from '@pare/core';
import type { Host } from '@pare/runtime';
import { EventEmitter } from 'node:events';
import { randomUUID } from 'node:crypto';
import { compressionRequest, jobResult, type Job, type JobProgress, type JobRequest, type JobResult } from './job.js';
import type { JobStore } from './job-store.js';
import type { Library } from './library.js';
import type { Meter } from './metered-backend.js';
import { describeError, ServiceError } from './service-error.js';

export interface JobQueueOptions {
  readonly host: Host;
  readonly store: JobStore;
  readonly library: Library;
  readonly meter: Meter;
  /** Jobs that may wait. */
  readonly limit: number;
  readonly log: { error(details: object, message: string): void };
}

/** Runs jobs one after another: a run has the machine's memory to itself. Tells `changed` with the job whenever one of them changes. */
export class JobQueue extends EventEmitter<{ changed: [job: Job] }> {
  readonly #options: JobQueueOptions;
  readonly #jobs = new Map<string, Job>();
  #running: { readonly job: Job; readonly abort: AbortController; readonly finished: Promise<void> } | undefined;
  #closing = false;

  constructor(options: JobQueueOptions) {
    super();
    this.#options = options;
    // One listener for each client that watches a job.
    this.setMaxListeners(0);
  }

  /** Takes up what an earlier process left: jobs that waited wait again, one that ran goes on at its last finished block. */
  async start(): Promise<void> {
    for (const job of await this.#options.store.load()) {
      this.#jobs.set(job.id, job);
      if (job.state === 'running') await this.#change(job, { state: 'queued' });
    }
    this.#next();
  }

  list(): readonly Job[] {
    return [...this.#jobs.values()];
  }

  /** @throws ServiceError 404 */
  get(id: string): Job {
    const job = this.#jobs.get(id);
    if (job === undefined) throw new ServiceError(404, 'JOB_UNKNOWN', `there is no job ${id}`, 'GET /jobs lists them.');
    return job;
  }

  /**
   * Checks a request as far as that goes without reading weights, and puts it behind the others.
   * @throws ServiceError, errors of Pare
   */
  async add(request: JobRequest): Promise<Job> {
    const waiting = this.list().filter(({ state }) => state === 'queued').length;
    if (waiting >= this.#options.limit) throw new ServiceError(503, 'QUEUE_FULL', `${String(waiting)} jobs are waiting`, 'Try again later.');
    const job: Job = { id: randomUUID(), request, created: new Date().toISOString(), state: 'queued', progress: undefined, error: undefined, result: undefined };
    await this.#options.host.plan(await this.#hostRequest(job));
    this.#jobs.set(job.id, job);
    await this.#change(job, {});
    this.#next();
    return job;
  }

  /** Stops a job at its next safe point, or takes it out of the line. What is finished is kept. @throws ServiceError 404, 409 */
  async cancel(id: string): Promise<Job> {
    const job = this.get(id);
    if (this.#running?.job === job) {
      this.#running.abort.abort();
      await this.#running.finished;
    } else if (job.state === 'queued') await this.#change(job, { state: 'cancelled' });
    else throw new ServiceError(409, 'JOB_OVER', `job ${id} is ${job.state}`, 'Only jobs that wait or run can be cancelled.');
    return job;
  }

  /** Goes on with a job that was cancelled or failed. @throws ServiceError 404, 409 */
  async resume(id: string): Promise<Job> {
    const job = this.get(id);
    if (job.state !== 'cancelled' && job.state !== 'failed') throw new ServiceError(409, 'JOB_NOT_STOPPED', `job ${id} is ${job.state}`, 'Only jobs that were cancelled or failed can go on.');
    await this.#change(job, { state: 'queued', error: undefined });
    this.#next();
    return job;
  }

  /** Forgets a job that is over, with its result. @throws ServiceError 404, 409 */
  async remove(id: string): Promise<void> {
    const job = this.get(id);
    if (job.state === 'queued' || job.state === 'running') throw new ServiceError(409, 'JOB_NOT_OVER', `job ${id} is ${job.state}`, 'Cancel it first.');
    this.#jobs.delete(id);
    await this.#options.store.remove(id);
  }

  /** Stops the run at its next safe point and leaves it to the next process. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#running?.abort.abort();
    await this.#running?.finished;
  }

  #next(): void {
    if (this.#closing || this.#running !== undefined) return;
    const job = this.list().find(({ state }) => state === 'queued');
    if (job === undefined) return;
    const abort = new AbortController();
    const finished = this.#run(job, abort.signal)
      .catch((error: unknown) => {
        this.#options.log.error({ error, job: job.id }, 'a job could not be kept');
      })
      .finally(() => {
        this.#running = undefined;
        this.#next();
      });
    this.#running = { job, abort, finished };
  }

  async #run(job: Job, signal: AbortSignal): Promise<void> {
    const { host, meter, log } = this.#options;
    // Progress is told, and not worth a write to the disk: the journal knows it better.
    const tell = (progress: JobProgress): void => {
      job.progress = progress;
      this.emit('changed', job);
    };
    const onBlock = ({ stage, technique, block, blocks }: JobProgress): void => {
      tell({ stage, technique, block: block + 1, blocks });
    };
    await this.#change(job, { state: 'running' });
    Object.assign(meter, { graphRuns: 0, bytesWritten: 0 });
    host.events.on('block:done', onBlock);
    try {
      await this.#change(job, { state: 'done', result: (await this.#written(job)) ?? (await this.#compress(job, signal)) });
    } catch (error) {
      const stopped = signal.aborted && isPareError(error) && error.code === 'PARE_ABORTED';
      // When the service itself ends, the job is not over: the next process finds it running, and goes on.
      if (stopped && this.#closing) return;
      if (!stopped) log.error({ error, job: job.id }, 'a job failed');
      await this.#change(job, stopped ? { state: 'cancelled' } : { state: 'failed', error: describeError(error) });
    } finally {
      host.events.off('block:done', onBlock);
    }
  }

  async #compress(job: Job, signal: AbortSignal): Promise<JobResult> {
    const { host, meter } = this.#options;
    const { formats, seconds, restoredBlocks } = await host.compress({ ...(await this.#hostRequest(job)), signal });
    return jobResult(formats, { seconds, restoredBlocks, graphRuns: meter.graphRuns });
  }

  /** The result of a run that ended when the process did, before the job was known to be done. Outputs appear whole or not at all. */
  async #written(job: Job): Promise<JobResult | undefined> {
    const { host, store } = this.#options;
    const { manifest } = await host.inspect(store.outputOf(job.id)).catch(() => ({ manifest: undefined }));
    return manifest === undefined ? undefined : jobResult(manifest.formats, { seconds: undefined, restoredBlocks: undefined, graphRuns: undefined });
  }

  async #hostRequest(job: Job): Promise<ReturnType<typeof compressionRequest>> {
    const { library, store } = this.#options;
    const { model, calibration } = job.request;
    return compressionRequest(job, {
      model: await library.model(model),
      calibration: calibration === undefined ? undefined : await library.text(calibration.data),
      output: store.outputOf(job.id),
    });
  }

  async #change(job: Job, changes: Partial<Job>): Promise<void> {
    Object.assign(job, changes);
    await this.#options.store.save(job);
    this.emit('changed', job);
  }
}
