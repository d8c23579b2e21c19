import { askTeacher, blackBoxServices, countsText, lessonExamples, openBlackBoxTeacher, requireRoom, teacherProblem, type BlackBoxContext, type BlackBoxServices } from '@pare/black-box-teacher';
import { apiVersion, defineTechnique, pareError, pluginError, type Technique, type TextSource, type Tokenizer } from '@pare/core';
import { planTraining, sharedOptions, Student, trainStudent } from '@pare/distillation';
import { readPromptItems } from '@pare/model';
import { crossEntropy, pairExamples, readPromptPairs, responseOf, taskBatches, tasksIdentity, type TrainingExample } from '@pare/training';
import { chooseAnswers } from './choose-answers.js';
import { distillSequenceOptions, type DistillSequenceOptions } from './options.js';

type Context = BlackBoxContext<DistillSequenceOptions>;

/** Texts to learn, and numbers about them. */
interface Answers {
  readonly examples: readonly TrainingExample[];
  readonly details: Readonly<Record<string, number>>;
}

/**
 * Sequence-level knowledge distillation (Kim and Rush 2016, arXiv 1606.07947, §3.2): the model is trained by −log q(ŷ | x) on answers ŷ that a teacher has written to prompts x, of which nothing
 * but the text is used. Answers of a file take the teacher's place or stand beside them.
 */
export const distillSequence: Technique<DistillSequenceOptions, BlackBoxServices> = defineTechnique<DistillSequenceOptions, BlackBoxServices>({
  id: 'distill-sequence',
  api: apiVersion,
  title: 'Sequence-level distillation',
  summary: 'Trains the model on what a teacher, or a file, answers to prompts; of the teacher only text is used.',
  family: 'distillation',
  scope: 'training',
  paper: 'arXiv:1606.07947',
  options: distillSequenceOptions,
  deps: blackBoxServices,
  accepts: ['dense'],
  produces: ['dense'],
  adjusts: true,
  learnsFrom: () => 'prompts',
  check({ options }) {
    if (options.source === 'file') return options.select === 'nearest' ? 'select: nearest chooses among a teacher\'s answers; a file has one' : undefined;
    if (options.labelShare === 1) return 'labelShare: 1 leaves nothing of the teacher; use source: file';
    return teacherProblem(options);
  },
  plan(targets, summary) {
    const options = sharedOptions(targets);
    return planTraining(targets, summary, { options, length: usualLength, teacherPasses: 0 });
  },
  apply,
});

/** Tokens of prompt and answer where a plan has to guess. */
const usualLength = 64;

async function apply(context: Context): Promise<void> {
  const { modules, model, prompts, seed, log } = context;
  const options = sharedOptions(modules);
  if (prompts === undefined) throw pareError('PARE_PROMPTS_MISSING', { techniques: ['distill-sequence'], text: false });
  const tokenizer = await context.tokenizer();
  const { maxPositions: positions } = model.description;

  const { source, labelShare, promptTemplate, responseTemplate } = options;
  const labels = source === 'file' || labelShare > 0 ? pairExamples(await readPromptPairs(prompts, tokenizer, { promptTemplate, responseTemplate, count: options.prompts, positions })) : [];
  const written = source === 'file' ? undefined : await askForAnswers(context, options, prompts, tokenizer);
  const tasks = written === undefined ? [{ examples: labels, share: 1 }] : [{ examples: written.examples, share: 1 - labelShare }, { examples: labels, share: labelShare }];

  const { steps, batchSize, microBatch } = options;
  log.info(`${model.name} learns ${String(tasks.reduce((sum, { examples }) => sum + examples.length, 0))} answers in ${String(steps)} steps of ${String(batchSize)}`);
  using student = await Student.load(context, options);
  const batches = taskBatches({ tasks, batchSize, microBatch, padding: tokenizer.eosToken ?? 0, positions, seed });
  const { losses } = await trainStudent(context, student, { options, loss: crossEntropy, batches, identity: tasksIdentity(tasks) });
  await student.writeBack({ details: { steps, labels: labels.length, ...written?.details, firstLoss: losses[0]!, lastLoss: losses.at(-1)! } });
}

/** What the teacher writes, as tokens of the model. */
async function askForAnswers(context: Context, options: DistillSequenceOptions, prompts: TextSource, tokenizer: Tokenizer): Promise<Answers> {
  const { model, log } = context;
  const { select, promptTemplate, responseTemplate, emptyAnswers } = options;
  const { maxPositions: positions } = model.description;
  const items = await readPromptItems(prompts, promptTemplate, options.prompts);
  requireRoom(tokenizer, items, { file: prompts.name, positions });
  const labels = items.map(({ fields, refuse }) => (select === 'nearest' ? (responseOf(fields, responseTemplate) ?? refuse(`it has no text for "${responseTemplate}", which select: nearest compares with, and no "response", "completion" or "output"`)) : undefined));
  await using teacher = await openBlackBoxTeacher(context, { ...options, emptyAnswers: emptyAnswers === 'drop' ? 'keep' : 'refuse' });
  const answers = await askTeacher(context, teacher, items.map(({ prompt }) => prompt), 'answers', options);
  const { lessons, leftOut } = chooseAnswers(items.map(({ prompt }, index) => ({ prompt, answers: answers[index]!, label: labels[index] })), options);
  if (emptyAnswers === 'refuse' && leftOut.empty > 0) {
    const { line } = items[answers.findIndex((each) => each.some(({ text }) => text.trim() === ''))]!;
    throw pluginError({ code: 'PARE_DISTILL_SEQUENCE_EMPTY_ANSWER', message: `${teacher.name} answers line ${String(line)} of ${prompts.name} with an empty text`, help: 'Look at promptTemplate and stop, or leave such answers out with emptyAnswers: drop.' });
  }
  const { examples, unfit } = lessonExamples(tokenizer, lessons, positions);
  const counts = { ...leftOut, 'too long': unfit };
  if (examples.length === 0) {
    throw pluginError({ code: 'PARE_DISTILL_SEQUENCE_NO_ANSWERS', message: `nothing is left of what ${teacher.name} answered to ${String(items.length)} prompts: ${countsText(counts)}`, help: 'Raise maxNewTokens for answers that are cut off, keep them with unfinished: keep, or look at promptTemplate and stop.' });
  }
  if (countsText(counts) !== '') log.info(`left out: ${countsText(counts)}`);
  return { examples, details: { answers: examples.length, empty: leftOut.empty, unfinished: leftOut.unfinished, repeated: leftOut.repeated, tooLong: unfit } };
}
