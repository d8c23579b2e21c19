export { scoreContinuations, type ScoringOptions } from './score-continuations.js';
export type { Continuation } from './tree-rows.js';
