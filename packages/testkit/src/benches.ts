import type { EvaluatedModel } from '@pare/conformance';
import type { Backend } from '@pare/core';
import { blockPredictor } from '@pare/evaluation';
import { openModel, openTokenizer } from '@pare/model';
import { architectures } from './architectures.js';
import { awkwardModel } from './awkward-models.js';
import { makeBackend } from './make-backend.js';
import { modelBench } from './model-bench.js';
import { runTechnique } from './run-technique.js';
import { memoryText, sampleText } from './text.js';
import { openFixture } from './tiny-model.js';

/** What `describeTechnique` needs to try a technique on a few plain layers. */
export const layerBench = { run: runTechnique, makeBackend };

/** The same with whole models: `describeTechnique(mine, { ...techniqueBench, variants: … })`. */
export const techniqueBench = { ...layerBench, models: modelBench };

/** A tiny model, compared with itself. */
async function openForEvaluation(name: string, backend: Backend): Promise<EvaluatedModel> {
  const folder = await awkwardModel(name);
  const [model, original] = [await openModel(folder.model, { architectures }), await openModel(folder.model, { architectures })];
  return {
    model,
    original,
    predictor: blockPredictor({ model, backend }),
    originalPredictor: blockPredictor({ model: original, backend }),
    tokenizer: () => openTokenizer(folder.model),
    async [Symbol.asyncDispose]() {
      await model[Symbol.asyncDispose]();
      await original[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** What `describeEvaluator` needs: `describeEvaluator(mine, { ...evaluatorBench })`. Evaluators that read items bring their own. */
export const evaluatorBench = { makeBackend, open: openForEvaluation, text: memoryText(sampleText(1500)) };

/** What `describeFormat` needs to write dense models; add subjects with the forms that the format is for. */
export const formatBench = {
  makeBackend,
  subjects: { 'a model with grouped queries': () => openFixture('llama'), 'a model with a tied head': () => openFixture('llama-tied-rope-scaled'), 'a model with experts': () => openFixture('qwen3_moe') },
};
