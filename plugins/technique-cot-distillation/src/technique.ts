import { blackBoxServices, countsText, teacherProblem, type BlackBoxContext, type BlackBoxServices } from '@pare/black-box-teacher';
import { apiVersion, defineTechnique, pareError, pluginError, type Technique } from '@pare/core';
import { planTraining, sharedOptions, Student, trainStudent } from '@pare/distillation';
import { crossEntropy, taskBatches, tasksIdentity } from '@pare/training';
import { elicitReasons, type Elicited } from './elicit.js';
import { cotDistillationOptions, type CotDistillationOptions } from './options.js';
import { readQuestions, type Question } from './questions.js';
import { chooseReasons, nothingLeftOut } from './reasons.js';
import { asksTeacher, buildTasks, taskShares } from './tasks.js';

type Context = BlackBoxContext<CotDistillationOptions>;

/**
 * Chain-of-thought distillation: a small model learns the answers to questions together with reasons for them that a large model wrote, or a file holds. Distilling step-by-step (Hsieh et al. 2023, arXiv
 * 2305.02301), MT-CoT (Li et al. 2022, arXiv 2210.06726), fine-tune-CoT (Ho et al. 2022, arXiv 2212.10071), and answers alone to compare with.
 */
export const cotDistillation: Technique<CotDistillationOptions, BlackBoxServices> = defineTechnique<CotDistillationOptions, BlackBoxServices>({
  id: 'cot-distillation',
  api: apiVersion,
  title: 'Chain-of-thought distillation',
  summary: 'Trains the model on questions with answers and with reasons for them that a teacher gives, or a file holds.',
  family: 'distillation',
  scope: 'training',
  paper: 'arXiv:2305.02301',
  options: cotDistillationOptions,
  deps: blackBoxServices,
  accepts: ['dense'],
  produces: ['dense'],
  adjusts: true,
  learnsFrom: () => 'prompts',
  check: ({ options }) => (asksTeacher(options) ? teacherProblem(options) : undefined),
  plan(targets, summary) {
    const options = sharedOptions(targets);
    const { answers, reasons } = taskShares(options);
    const batchSize = options.batchSize * (answers > 0 && reasons > 0 ? 2 : 1);
    return planTraining(targets, summary, { options: { ...options, batchSize }, length: usualLength, teacherPasses: 0 });
  },
  apply,
});

/** Tokens of prompt and reason where a plan has to guess. */
const usualLength = 64;

async function apply(context: Context): Promise<void> {
  const { modules, model, prompts, seed, log } = context;
  const options = sharedOptions(modules);
  if (prompts === undefined) throw pareError('PARE_PROMPTS_MISSING', { techniques: ['cot-distillation'], text: false });
  const tokenizer = await context.tokenizer();
  const { maxPositions: positions } = model.description;
  const questions = await readQuestions(prompts, tokenizer, options, positions);

  const { solved, leftOut, asked } = await solve(context, questions, options);
  const { answers, reasons, unfit } = buildTasks(questions, solved, options, tokenizer, positions);
  const counts = { ...leftOut, 'too long': unfit };
  if (reasons?.examples.length === 0) {
    const taught = options.rationales === 'teacher';
    throw pluginError({
      code: 'PARE_COT_DISTILLATION_NO_RATIONALES',
      message: `no reason to learn is left of ${taught ? 'what the teacher gave' : `those in ${prompts.name}`}: ${countsText(counts) || 'there was none'}`,
      help: taught
        ? 'Look at teacherPrompt, answerCue and maxNewTokens, ask for several answers to a question, or keep those with other answers with answerFilter: false.'
        : 'Name the field of the reasons with rationaleField, or let a teacher give them with rationales: teacher.',
    });
  }
  if (answers?.examples.length === 0) {
    throw pluginError({ code: 'PARE_COT_DISTILLATION_NO_ANSWERS', message: 'none of the questions has an answer to learn', help: 'Look at teacherPrompt, answerCue and maxNewTokens, or take the file\'s answers with labels: file.' });
  }
  if (asked > 0) log.info(`${String(solved.reduce((sum, question) => sum + question.reasons.length, 0))} of ${String(asked)} reasons are kept${countsText(counts) === '' ? '' : `; left out: ${countsText(counts)}`}`);

  const { steps, batchSize, microBatch } = options;
  using student = await Student.load(context, options);
  const tasks = [answers, reasons].filter((task) => task !== undefined);
  const batches = taskBatches({ tasks, batchSize, microBatch, padding: tokenizer.eosToken ?? 0, positions, seed });
  const { losses } = await trainStudent(context, student, { options, loss: crossEntropy, batches, identity: tasksIdentity(tasks) });
  const numbers = { answers: answers?.examples.length ?? 0, reasons: reasons?.examples.length ?? 0, emptyReasons: leftOut.empty, openReasons: leftOut.open, wrongReasons: leftOut.wrong, repeatedReasons: leftOut.repeated, tooLong: unfit };
  await student.writeBack({ details: { steps, ...numbers, firstLoss: losses[0]!, lastLoss: losses.at(-1)! } });
}

/** Answers and reasons to learn, from where the options say. */
async function solve(context: Context, questions: readonly Question[], options: CotDistillationOptions): Promise<Elicited> {
  if (!asksTeacher(options)) return ownReasons(questions, options);
  const elicited = await elicitReasons(context, questions, options);
  if (options.rationales === 'teacher') return elicited;
  const own = ownReasons(questions, options);
  return { ...own, solved: own.solved.map(({ reasons }, index) => ({ reasons, label: elicited.solved[index]!.label })) };
}

/** The file's own reasons. @throws PARE_ITEM_INVALID for an empty one where those are refused */
function ownReasons(questions: readonly Question[], options: CotDistillationOptions): Elicited {
  const needed = taskShares(options).reasons > 0;
  const leftOut = nothingLeftOut();
  const solved = questions.map(({ rationale, answer, refuse }) => {
    if (!needed) return { label: answer, reasons: [] };
    if (rationale.trim() === '' && options.emptyRationales === 'refuse') refuse(`its "${options.rationaleField}" is empty; leave such reasons out with emptyRationales: drop`);
    return chooseReasons([{ rationale: rationale.trim(), answer: answer?.trim() }], answer, options, leftOut);
  });
  return { solved, leftOut, asked: needed ? questions.length : 0 };
}
