/** What the measuring process is told. */
export interface MeasureRequest {
  readonly path: string;
  readonly provider: string;
  readonly threads: number;
  readonly vocabularySize: number;
  readonly maxPositions: number;
  readonly schedule: Schedule;
}

/** What is run. */
export interface Schedule {
  readonly promptLengths: readonly number[];
  readonly newTokens: number;
  readonly batch: number;
  readonly warmups: number;
  readonly runs: number;
  readonly maximumSeconds: number;
}

/** Times of the counted runs of one prompt length, in milliseconds. */
export interface PromptSamples {
  readonly promptLength: number;
  /** The prompt through the model, one value a run. */
  readonly prefill: readonly number[];
  /** The same until the first token is chosen. */
  readonly firstToken: readonly number[];
  /** Each further token, by run. */
  readonly steps: readonly (readonly number[])[];
}

export interface Measured {
  readonly samples: readonly PromptSamples[];
  readonly loadMilliseconds: number;
  /** Most physical memory that the process held. */
  readonly peakMemoryBytes: number;
  readonly runtimeVersion: string;
}

/** What the measuring process says. */
export type MeasureReply =
  | { readonly kind: 'progress'; readonly completed: number; readonly total: number; readonly detail: string }
  | { readonly kind: 'done'; readonly measured: Measured }
  | { readonly kind: 'failed'; readonly reason: string };
