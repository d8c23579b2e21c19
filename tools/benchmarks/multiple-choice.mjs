/* Multiple choice with the choices of a question sharing its prompt, against loops that run every choice alone. tales-7m, 200 questions. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cpuBackend } from '@pare/backend-cpu';
import { llamaArchitecture } from '@pare/architecture-llama';
import { readItems } from '@pare/evaluator-multiple-choice';
import { createBlockRunner, encodeContinuations, openModel, openTokenizer, scoreContinuations } from '@pare/model';
import { root, round, table } from './lib.mjs';

const sum = (values) => values.reduce((total, value) => total + value, 0);
const folder = join(root, 'examples/models/tales-7m');
const file = join(root, 'examples/data/reasoning-evaluation.jsonl');
const backend = await cpuBackend.create({ threads: 0 }, { log: console });
const model = await openModel(folder, { architectures: [llamaArchitecture] });
const tokenizer = await openTokenizer(folder);
const items = await readItems({ name: file, text: () => readFile(file, 'utf8') }, 'Question: {question}\nAnswer:', 200);
const groups = items.map(({ prompt, choices }) => encodeContinuations(tokenizer, prompt, choices.map((choice) => ` ${choice}`), { maxPositions: 1024, addBos: false }));
const alone = groups.flat().map((choice) => [choice]);

const shared = async () => (await scoreContinuations({ model, backend }, groups)).flat().map(sum);
/** One sequence a run; a block's weights are loaded once for all of them. */
const streamed = async () => (await scoreContinuations({ model, backend, chunkTokens: 1 }, alone)).flat().map(sum);
/** A whole pass through the model for every choice. */
const loop = async () => {
  const runner = createBlockRunner({ model, backend });
  const scores = [];
  for (const { ids, start } of groups.flat()) scores.push(await scoreAlone(runner, ids, start));
  await runner[Symbol.asyncDispose]();
  return scores;
};

async function scoreAlone(runner, ids, start) {
  const hidden = await runner.embed([ids]);
  try {
    for (const block of model.description.blocks.keys()) await runner.advance(block, hidden);
    const [values] = await runner.negativeLogLikelihood(hidden, [ids]);
    return -sum(values.subarray(start - 1));
  } finally {
    await hidden[Symbol.asyncDispose]();
  }
}

async function time(work) {
  const started = performance.now();
  const scores = await work();
  return { seconds: (performance.now() - started) / 1000, scores };
}

await shared();
const ours = await time(shared);
const rows = [['', 'seconds', 'times ours', 'largest difference']];
rows.push(['prompt computed once', round(ours.seconds), '', '']);
for (const [name, work] of [['each choice alone, weights loaded once', streamed], ['each choice alone, plain loop', loop]]) {
  const { seconds, scores } = await time(work);
  const difference = Math.max(...scores.map((score, index) => Math.abs(score - ours.scores[index])));
  rows.push([name, round(seconds), `${round(seconds / ours.seconds)}×`, difference.toExponential(1)]);
}
table(rows);
await model[Symbol.asyncDispose]();
await backend[Symbol.asyncDispose]();
