import { apiVersion, defineTechnique, type Technique } from '@pare/core';
import {
  calibrationBatches,
  guessedWindow,
  openTeacher,
  planTraining,
  promptTexts,
  requireSameTokens,
  sharedOptions,
  Student,
  StudentGenerator,
  teacherIdentity,
  TeacherLogits,
  teacherServices,
  trainStudent,
  type TeacherServices,
  type TrainingContext,
} from '@pare/distillation';
import { TokenGenerator } from '@pare/model';
import { policyLoss } from '@pare/training';
import { languageBatches, rolloutBatches } from './batches.js';
import { miniLlmOptions, type MiniLlmOptions } from './options.js';
import { RolloutSource } from './rollouts.js';

/**
 * MiniLLM (Gu et al. 2024, arXiv 2306.08543): minimises KL(student ‖ teacher) over whole texts by policy gradients, with the step at hand taken exactly over the vocabulary, texts drawn from
 * a mixture with the teacher, and language modelling beside it.
 */
export const miniLlm: Technique<MiniLlmOptions, TeacherServices> = defineTechnique<MiniLlmOptions, TeacherServices>({
  id: 'minillm',
  api: apiVersion,
  title: 'MiniLLM',
  summary: 'Trains the model on texts that it draws together with a teacher, towards what the teacher finds likely (reverse KL).',
  family: 'distillation',
  scope: 'training',
  paper: 'arXiv:2306.08543',
  options: miniLlmOptions,
  deps: teacherServices,
  accepts: ['dense'],
  produces: ['dense'],
  adjusts: true,
  learnsFrom: ({ languageWeight }) => (languageWeight > 0 ? 'text' : 'either'),
  plan(targets, summary) {
    const options = sharedOptions(targets);
    const { promptTokens, maxNewTokens, batchSize, textBatchSize, languageWeight, epochs } = options;
    // A step's windows of text, shared among its drawn texts.
    const text = languageWeight > 0 ? (textBatchSize * guessedWindow) / batchSize : 0;
    // Drawing takes a forward pass of both, once for the epochs.
    return planTraining(targets, summary, { options, length: promptTokens + maxNewTokens + text, teacherPasses: 1 + 2 / epochs });
  },
  apply,
});

async function apply(context: TrainingContext<MiniLlmOptions>): Promise<void> {
  const { modules, model, backend, signal, log, seed, windows, work } = context;
  const options = sharedOptions(modules);
  const { clipRatio, languageWeight, textBatchSize, microBatch, steps } = options;
  await using teacher = await openTeacher(context, options.teacher);
  await requireSameTokens(teacher.model, model);
  const { texts, stopTokens } = await promptTexts(context, options, 'minillm', 'optional');
  log.info(`${model.name} learns from ${teacher.model.name}: ${String(texts.length)} prompts, ${String(windows.length)} windows, ${String(steps)} steps`);

  using student = await Student.load(context, options);
  await using lessons = await TeacherLogits.load(backend, teacher.model, signal);
  await using writing = await StudentGenerator.create(context, student);
  await using showing = await TokenGenerator.create({ model: teacher.model, backend, signal, parameters: lessons.parameters });
  const identity = await teacherIdentity(teacher.model);
  const source = new RolloutSource({ texts, stopTokens, options, seed, signal, work, identity, generators: async () => ({ student: await writing.current(), teacher: showing }) });
  const text = languageWeight === 0 ? undefined : calibrationBatches(context, { batchSize: textBatchSize, microBatch });
  // A training that an earlier run ended takes no step.
  let last: Readonly<Record<string, number>> = {};
  const { losses } = await trainStudent(context, student, {
    options,
    loss: policyLoss({ clipRatio }),
    batches: async function* (step) {
      const drawn = rolloutBatches(await source.rollouts(step), microBatch, model.description.maxPositions);
      yield* lessons.beside([...drawn, ...(text === undefined ? [] : languageBatches(text(step), options))]);
    },
    onStep: ({ metrics }) => {
      last = metrics;
    },
    identity,
  });
  await student.writeBack({ details: { steps, firstLoss: losses[0]!, lastLoss: losses.at(-1)!, ...(last['divergence'] === undefined ? {} : { lastDivergence: last['divergence'] }) } });
}
