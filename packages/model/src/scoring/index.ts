export { encodeContinuations, type ContinuationOptions, type EncodedContinuation } from './encode-continuation.js';
export { scoreContinuations, type ScoringOptions } from './score-continuations.js';
export type { Continuation } from './tree-rows.js';
