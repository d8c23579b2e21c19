import type { Backend, EvaluationContext, Model } from '@pare/core';
import { blockPredictor, noCheckpoint } from '@pare/evaluation';

/** What a host adds to an evaluator's context besides model and data: predictors of models, and a checkpoint that keeps nothing. For evaluators that are called without a host. */
export function evaluationParts(
  backend: Backend,
  model: Model,
  original?: Model,
): Pick<EvaluationContext<unknown>, 'model' | 'predictor' | 'original' | 'originalPredictor' | 'artifact' | 'checkpoint' | 'backend'> {
  return {
    backend,
    model,
    predictor: blockPredictor({ model, backend }),
    original,
    originalPredictor: original && blockPredictor({ model: original, backend }),
    artifact: undefined,
    checkpoint: noCheckpoint,
  };
}
