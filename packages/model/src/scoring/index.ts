export { encodeContinuations, type ContinuationOptions, type EncodedContinuation } from './encode-continuation.js';
export { scoreContinuations, type ScoringOptions } from './score-continuations.js';
export type { Continuation } from './tree-rows.js';
export { generateTokens, TokenGenerator, type GenerateOptions, type GenerationRequest, type GeneratorOptions } from './generate-tokens.js';
export { pickToken, type SamplingOptions } from './pick-token.js';
export { readPromptItems, type PromptItem } from './prompt-items.js';
