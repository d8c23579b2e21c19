import type { Recipe } from '@pare/core';
import type { CompressionRequest, FormatResult } from '@pare/runtime';

/** What a client asks for. Models and texts are named by their paths below the service's own folder of them. */
export interface JobRequest {
  readonly model: string;
  /** A preset's id, or a recipe document. */
  readonly recipe: string | Recipe;
  /** Changes of options: `gptq.groupSize=64`. */
  readonly set?: readonly string[];
  readonly calibration?: { readonly data: string; readonly samples?: number; readonly sequenceLength?: number };
  readonly seed?: number;
  /** Bytes that the run may take at most. */
  readonly memory?: number;
}

export type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled';

/** How far a job is: blocks of a stage. */
export interface JobProgress {
  readonly stage: number;
  readonly technique: string;
  readonly block: number;
  readonly blocks: number;
}

export interface JobError {
  readonly code: string;
  readonly message: string;
  readonly help: string;
}

/** A job as it is kept on disk and told to clients. */
export interface Job {
  readonly id: string;
  readonly request: JobRequest;
  readonly created: string;
  state: JobState;
  progress: JobProgress | undefined;
  error: JobError | undefined;
  /** Of a job that is done. */
  result: JobResult | undefined;
}

export interface JobResult {
  /** Of the run that finished it; undefined when the service was killed between the end of the run and the record of it. */
  readonly seconds: number | undefined;
  readonly bytes: number;
  /** Blocks that an interrupted run had finished, and that were not computed again. */
  readonly restoredBlocks: number | undefined;
  readonly graphRuns: number | undefined;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
}

/** Files of all formats, and what else is known of the run. */
export function jobResult(formats: readonly FormatResult[], facts: Pick<JobResult, 'seconds' | 'restoredBlocks' | 'graphRuns'>): JobResult {
  const files = formats.flatMap((format) => format.files.map(({ path, bytes }) => ({ path, bytes })));
  return { ...facts, bytes: files.reduce((sum, file) => sum + file.bytes, 0), files };
}

/** The job as the host's request. */
export function compressionRequest({ request }: Job, places: { readonly model: string; readonly calibration: string | undefined; readonly output: string }): CompressionRequest {
  const { recipe, set, calibration, seed, memory } = request;
  return {
    model: places.model,
    recipe,
    set,
    seed,
    memory,
    calibration: calibration === undefined || places.calibration === undefined ? undefined : { ...calibration, data: places.calibration },
    output: places.output,
    // A journal of an earlier run of this job, if there is one, is taken up.
    resume: true,
  };
}
