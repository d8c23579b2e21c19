export { searchBeams, type BeamRequest, type BeamText } from './beam-search.js';
export { encodeContinuations, type ContinuationOptions, type EncodedContinuation } from './encode-continuation.js';
export { scoreContinuations, type ScoringOptions } from './score-continuations.js';
export type { Continuation } from './tree-rows.js';
export { DecodingBatch, generateTokens, TokenGenerator, type GenerateOptions, type GenerationRequest, type GeneratorOptions } from './generate-tokens.js';
export { drawToken, logProbability, pickToken, tokenProbabilities, type SamplingOptions } from './pick-token.js';
export { sampleMixedTexts, sampleTexts, type MixedSample, type MixedSampleRequest, type SampleRequest, type TextSample } from './sample-texts.js';
export { fillTemplate, readPromptItems, type PromptItem } from './prompt-items.js';
