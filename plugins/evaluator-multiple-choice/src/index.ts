import { apiVersion, defineEvaluator, pareError, type Continuation, type EvaluationContext, type EvaluationResult, type Evaluator } from '@pare/core';
import { portionsOf } from '@pare/evaluation';
import { accuracyOf, scoreItem, type Accuracy } from './accuracy.js';
import { readItems, type MultipleChoiceItem } from './items.js';
import { multipleChoiceOptions, type MultipleChoiceOptions } from './options.js';

export { accuracyOf, scoreItem, type Accuracy, type ItemScore } from './accuracy.js';
export { readItems, type MultipleChoiceItem } from './items.js';
export type { MultipleChoiceOptions } from './options.js';

/**
 * Multiple choice as lm-evaluation-harness scores it: the model's choice is the one with the largest log p(choice | prompt), summed over its tokens (`acc`), or the largest
 * per character (`acc_norm`). A prompt is computed once for all its choices.
 */
export const multipleChoice: Evaluator<MultipleChoiceOptions> = defineEvaluator({
  id: 'multiple-choice',
  api: apiVersion,
  title: 'Multiple choice',
  summary: 'How often a language model finds the right choice likeliest, as lm-evaluation-harness scores it.',
  options: multipleChoiceOptions,
  data: 'items',
  reads: 'predictions',
  metrics: [
    { name: 'accuracy', unit: '', direction: 'higher', summary: 'share of items whose right choice is likeliest' },
    { name: 'accuracyNormalized', unit: '', direction: 'higher', summary: 'share of items whose right choice is likeliest per character' },
    { name: 'accuracyStandardError', unit: '', direction: 'neutral', summary: 'standard error of accuracy' },
    { name: 'accuracyNormalizedStandardError', unit: '', direction: 'neutral', summary: 'standard error of accuracyNormalized' },
  ],
  evaluate,
});

export default multipleChoice;

async function evaluate(context: EvaluationContext<MultipleChoiceOptions>): Promise<EvaluationResult> {
  const { model, predictor, options, data, signal, progress, checkpoint } = context;
  if (data === undefined) throw pareError('PARE_DATA_MISSING', { evaluator: 'multiple-choice', reads: 'items' });
  const items = await readItems(data, options.promptTemplate, options.samples);

  // The model library is large; importing this plugin must not load it.
  const { encodeContinuations } = await import('@pare/model');
  const tokenizer = await context.tokenizer();
  const { maxPositions } = model.description;
  let truncated = 0;
  const groups = items.map(({ line, prompt, choices }) =>
    encodeContinuations(tokenizer, prompt, choices.map((choice) => options.delimiter + choice), { maxPositions, addBos: options.addBos }).map((encoded, choice): Continuation => {
      if (typeof encoded !== 'number') {
        if (encoded.dropped > 0) truncated++;
        return encoded;
      }
      const problem =
        encoded > maxPositions
          ? `choice ${String(choice)} has ${String(encoded)} tokens, more than the model's ${String(maxPositions)} positions`
          : encoded === 0
            ? `choice ${String(choice)} adds no tokens to the prompt`
            : 'its prompt is empty and the tokenizer has no token to begin with';
      throw pareError('PARE_ITEM_INVALID', { file: data.name, line, problem });
    }),
  );

  if (truncated > 0) context.log.warn(`${String(truncated)} prompts with their choice are longer than the model's ${String(maxPositions)} positions and lost their beginning`);

  const portions = portionsOf(groups, tokensOf);
  const logProbabilities: number[][][] = [];
  for (const [index, { name, items: members }] of portions.entries()) {
    const kept = await checkpoint.piece(name, async () => {
      const scored = await predictor.scoreContinuations(members, {
        signal,
        onProgress: ({ completed, total }) => {
          progress.report({ completed: index + completed / total, total: portions.length, unit: 'portions' });
        },
      });
      return scored.map((group) => group.map((values) => [...values]));
    });
    logProbabilities.push(...kept);
    progress.report({ completed: index + 1, total: portions.length, unit: 'portions' });
  }
  const scores = items.map(({ line, choices, label }, index) => {
    const sums = logProbabilities[index]!.map((values) => values.reduce((sum, value) => sum + value, 0));
    const broken = sums.find((sum) => !Number.isFinite(sum));
    if (broken !== undefined) throw pareError('PARE_LIKELIHOOD_NOT_FINITE', { file: data.name, line, likelihood: broken });
    return { line, label, ...scoreItem(choices, sums) };
  });
  return {
    metrics: {
      ...named('accuracy', accuracyOf(scores.map(({ chosen, label }) => chosen === label))),
      ...named('accuracyNormalized', accuracyOf(scores.map(({ chosenNormalized, label }) => chosenNormalized === label))),
    },
    details: { file: data.name, count: items.length, choices: choiceCount(items), truncated, items: scores },
  };
}

/** About what a group costs: its longest sequence, and what the others have of their own. */
function tokensOf(group: readonly Continuation[]): number {
  return Math.max(...group.map(({ start }) => start)) + group.reduce((sum, { ids, start }) => sum + ids.length - start, 0);
}

function named(name: string, { value, standardError }: Accuracy): Record<string, number> {
  return { [name]: value, ...(standardError !== undefined && { [`${name}StandardError`]: standardError }) };
}

function choiceCount(items: readonly MultipleChoiceItem[]): number {
  return items.reduce((sum, { choices }) => sum + choices.length, 0);
}
