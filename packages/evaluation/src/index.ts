export { blockPredictor } from './block-predictor.js';
export { comparePredictions, type PredictionComparison } from './compare-predictions.js';
export { decoderPredictor, type CachedDecoder, type DecoderBatch, type DecoderState, type DecoderStep } from './decoder-predictor.js';
export { EvaluationCache, noCheckpoint, type CachedResult, type CacheInputs } from './evaluation-cache.js';
export { hashFiles, sha256, type HashedFile } from './content-hash.js';
export { portionsOf } from './portions.js';
export { openedSubject, type OpenSubject, type Subject } from './subject.js';
export { once, openSubject, type SubjectContext } from './open-subject.js';
export { mergeMetrics, runEvaluators, type EvaluationRecord, type EvaluationStore, type EvaluatorsRun, type PreparedEvaluator } from './run-evaluators.js';
