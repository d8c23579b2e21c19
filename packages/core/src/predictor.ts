/** Tokens whose end is to be scored. */
export interface Continuation {
  readonly ids: Int32Array;
  /** Place of the first token whose likelihood counts, at least 1. */
  readonly start: number;
}

export interface PredictionOptions {
  readonly signal?: AbortSignal | undefined;
  /** How far the work has come, in steps of whatever size. */
  readonly onProgress?: ((state: { readonly completed: number; readonly total: number; readonly detail?: string | undefined }) => void) | undefined;
  /** Bytes that logits may take at once, as far as one window's pieces allow. */
  readonly logitsBytes?: number | undefined;
}

export interface GenerationRequest extends PredictionOptions {
  /** Texts to continue, each of at least one token. */
  readonly prompts: readonly Int32Array[];
  readonly maxNewTokens: number;
  /** Prompts that run together. */
  readonly batchSize?: number | undefined;
  /** Chooses the next token of a prompt from its logits [vocabulary]. */
  readonly pick: (logits: Float32Array, prompt: number) => number;
  /** Whether a prompt is done, given its new tokens so far, the last of which was just chosen. */
  readonly done: (tokens: readonly number[], prompt: number) => boolean;
}

/** Logits of some neighbouring positions of a window. Valid until the next piece is asked for. */
export interface LogitsPiece {
  readonly window: number;
  /** Of the first row. Row r are the logits of token position + r + 1. */
  readonly position: number;
  readonly rows: number;
  /** [rows, vocabulary]. */
  readonly logits: Float32Array;
}

/**
 * What a model predicts, whatever computes it: weights of a folder on a backend, or an exported file in the runtime that it is for. Every method stops
 * soon after the signal fires (PARE_ABORTED).
 */
export interface Predictor {
  /** −ln p(token t + 1 | tokens 0 … t), length − 1 values a window. @throws PARE_TOKEN_OUT_OF_RANGE, PARE_WINDOW_TOO_LONG */
  negativeLogLikelihood(windows: readonly Int32Array[], options?: PredictionOptions): Promise<Float64Array[]>;
  /** ln p of the tokens of each continuation from its start on. Continuations of a group are expected to begin alike. @throws as above */
  scoreContinuations(groups: readonly (readonly Continuation[])[], options?: PredictionOptions): Promise<Float64Array[][]>;
  /** Continues texts; returns the new tokens of each. @throws as above */
  generate(request: GenerationRequest): Promise<number[][]>;
  /** Logits of all tokens but the first of every window, in order. One window's are held at most. @throws as above */
  logits(windows: readonly Int32Array[], options?: PredictionOptions): AsyncIterable<LogitsPiece>;
}
