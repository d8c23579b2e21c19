import { apiVersion, createRandom, defineEvaluator, pareError, type EvaluationContext, type EvaluationResult, type Evaluator } from '@pare/core';
import { portionsOf } from '@pare/evaluation';
import { extractAnswer, sameAnswer } from './answers.js';
import { readItems } from './items.js';
import { generationOptions, type GenerationOptions } from './options.js';
import { rougeL } from './rouge.js';

export { extractAnswer, sameAnswer } from './answers.js';
export { readItems, type GenerationItem } from './items.js';
export type { GenerationOptions } from './options.js';
export { rougeL } from './rouge.js';

/** Continues prompts and holds the texts against references: exact match of the extracted answer, and ROUGE-L. Greedy, or sampled with the run's seed. */
export const generation: Evaluator<GenerationOptions> = defineEvaluator({
  id: 'generation',
  api: apiVersion,
  title: 'Generation',
  summary: 'How often a generated text has the right answer (exact match), and its ROUGE-L against references.',
  options: generationOptions,
  data: 'items',
  reads: 'predictions',
  metrics: [
    { name: 'exactMatch', unit: '', direction: 'higher', summary: 'share of items whose extracted answer equals a reference' },
    { name: 'exactMatchStandardError', unit: '', direction: 'neutral', summary: 'standard error of exactMatch' },
    { name: 'rougeL', unit: '', direction: 'higher', summary: 'mean ROUGE-L F₁ of the whole text against the nearest reference' },
  ],
  evaluate,
});

export default generation;

/** Batches between two checkpoints: each portion loads the weights anew. */
const portionBatches = 4;

async function evaluate(context: EvaluationContext<GenerationOptions>): Promise<EvaluationResult> {
  const { model, predictor, options, data, signal, progress, checkpoint, seed } = context;
  if (data === undefined) throw pareError('PARE_DATA_MISSING', { evaluator: 'generation', reads: 'items' });
  const { maxNewTokens, stop } = options;
  const { maxPositions } = model.description;
  // The last new token is only ever predicted.
  const room = maxPositions - maxNewTokens + 1;
  if (room < 1) throw pareError('PARE_WINDOW_TOO_LONG', { length: maxNewTokens, positions: maxPositions });
  const items = await readItems(data, options.promptTemplate, options.samples);

  // The model library is large; importing this plugin must not load it.
  const { pickToken } = await import('@pare/model');
  const tokenizer = await context.tokenizer();
  let truncated = 0;
  const prompts = items.map(({ line, prompt }) => {
    const ids = [...tokenizer.encode(prompt)];
    const begin = options.addBos || ids.length === 0 ? (tokenizer.bosToken ?? tokenizer.eosToken) : undefined;
    if (begin !== undefined) ids.unshift(begin);
    if (ids.length === 0) throw pareError('PARE_ITEM_INVALID', { file: data.name, line, problem: 'its prompt is empty and the tokenizer has no token to begin with' });
    if (ids.length > room) truncated++;
    return Int32Array.from(ids.slice(-room));
  });
  if (truncated > 0) context.log.warn(`${String(truncated)} prompts leave no room for ${String(maxNewTokens)} new tokens in ${String(maxPositions)} positions and lost their beginning`);

  // A source of numbers for each prompt: batches don't change what is drawn.
  const randoms = items.map((_, index) => createRandom((seed ^ Math.imul(index + 1, 0x9e3779b1)) >>> 0));
  const portions = portionsOf(prompts, () => 1, portionBatches * options.batchSize);
  const generated: number[][] = [];
  for (const [index, { name, items: members, first }] of portions.entries()) {
    const kept = await checkpoint.piece(name, () =>
      predictor.generate({
        signal,
        prompts: members,
        maxNewTokens,
        batchSize: options.batchSize,
        pick(logits, member) {
          const prompt = first + member;
          const broken = logits.find((logit) => Number.isNaN(logit));
          if (broken !== undefined) throw pareError('PARE_LIKELIHOOD_NOT_FINITE', { file: data.name, line: items[prompt]!.line, likelihood: broken });
          return pickToken(logits, options, randoms[prompt]!);
        },
        done: (tokens) => tokens.at(-1) === tokenizer.eosToken || (stop.length > 0 && cutAt(tokenizer.decode(tokens), stop).stopped),
        onProgress: ({ completed, total }) => {
          progress.report({ completed: index + completed / total, total: portions.length, unit: 'portions' });
        },
      }),
    );
    generated.push(...kept);
    progress.report({ completed: index + 1, total: portions.length, unit: 'portions' });
  }

  const scores = items.map(({ line, references, answers }, index) => {
    const { text } = cutAt(tokenizer.decode(generated[index]!.filter((token) => token !== tokenizer.eosToken)), stop);
    const extracted = answers.map((answer) => extractAnswer(text, answer, options));
    const right = answers.some((answer, at) => extracted[at] !== undefined && sameAnswer(extracted[at], answer));
    return { line, text, answer: extracted[0] ?? null, right, rougeL: Math.max(...references.map((reference) => rougeL(text, reference))), tokens: generated[index]!.length };
  });
  const count = scores.length;
  const exactMatch = scores.filter(({ right }) => right).length / count;
  return {
    metrics: {
      exactMatch,
      ...(count > 1 && { exactMatchStandardError: Math.sqrt((exactMatch * (1 - exactMatch)) / (count - 1)) }),
      rougeL: scores.reduce((sum, score) => sum + score.rougeL, 0) / count,
    },
    details: { file: data.name, count, truncated, newTokens: scores.reduce((sum, { tokens }) => sum + tokens, 0), items: scores },
  };
}

/** A text up to the first stop text in it. */
function cutAt(text: string, stop: readonly string[]): { readonly text: string; readonly stopped: boolean } {
  const ends = stop.map((ending) => text.indexOf(ending)).filter((index) => index >= 0);
  return ends.length === 0 ? { text, stopped: false } : { text: text.slice(0, Math.min(...ends)), stopped: true };
}
