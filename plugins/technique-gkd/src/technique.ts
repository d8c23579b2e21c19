import { apiVersion, defineTechnique, type Technique } from '@pare/core';
import {
  openTeacher,
  planTraining,
  promptTexts,
  requireSameTokens,
  responseBatches,
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
import { distillation, type Loss } from '@pare/training';
import { gkdOptions, type GkdOptions } from './options.js';
import { ResponseSource, type Writer } from './responses.js';

/**
 * Generalised knowledge distillation (Agarwal et al. 2024, arXiv 2306.13649): the student is corrected by the teacher on texts that it wrote itself, so that it learns what to do where it really
 * gets. No gradient goes through the drawing of tokens.
 */
export const gkd: Technique<GkdOptions, TeacherServices> = defineTechnique<GkdOptions, TeacherServices>({
  id: 'gkd',
  api: apiVersion,
  title: 'GKD',
  summary: 'Trains the model on responses of its own and of the data, with a choice of divergences from a teacher.',
  family: 'distillation',
  scope: 'training',
  paper: 'arXiv:2306.13649',
  options: gkdOptions,
  deps: teacherServices,
  accepts: ['dense'],
  produces: ['dense'],
  adjusts: true,
  learnsFrom: () => 'either',
  plan(targets, summary) {
    const options = sharedOptions(targets);
    // Drawing a response is another forward pass over it, by whoever writes it.
    const drawn = options.otherResponses === 'teacher' ? 1 : options.onPolicyShare;
    return planTraining(targets, summary, { options, length: options.promptTokens + options.maxNewTokens, teacherPasses: 1 + drawn });
  },
  apply,
});

/** D(p ‖ q): the generalised Jensen–Shannon divergence, whose ends β = 0 and 1 are both directions of KL. */
export function gkdLoss(beta: number): Loss {
  const shared = { temperature: 1, labelShare: 0 };
  if (beta === 0 || beta === 1) return distillation({ divergence: beta === 0 ? 'forward' : 'reverse', ...shared });
  return distillation({ divergence: 'jensen-shannon', beta, ...shared });
}

async function apply(context: TrainingContext<GkdOptions>): Promise<void> {
  const { modules, model, backend, signal, log, seed } = context;
  const options = sharedOptions(modules);
  const { onPolicyShare, otherResponses, steps } = options;
  await using teacher = await openTeacher(context, options.teacher);
  await requireSameTokens(teacher.model, model);
  const prompts = await promptTexts(context, options, 'gkd', onPolicyShare < 1 && otherResponses === 'data' ? 'required' : 'optional');
  log.info(`${model.name} learns from ${teacher.model.name}: ${String(prompts.texts.length)} prompts, ${String(steps)} steps`);

  using student = await Student.load(context, options);
  await using lessons = await TeacherLogits.load(backend, teacher.model, signal);
  const writers = new Set<Writer>([...(onPolicyShare > 0 ? ['student' as const] : []), ...(onPolicyShare < 1 ? [otherResponses] : [])]);
  await using writing = writers.has('student') ? await StudentGenerator.create(context, student) : undefined;
  await using showing = writers.has('teacher') ? await TokenGenerator.create({ model: teacher.model, backend, signal, parameters: lessons.parameters }) : undefined;
  const source = new ResponseSource({
    prompts,
    options,
    seed,
    signal,
    generator: async (writer) => (writer === 'student' ? await writing!.current() : showing!),
  });
  const { losses } = await trainStudent(context, student, {
    options,
    loss: gkdLoss(options.beta),
    batches: async function* (step) {
      yield* lessons.beside(responseBatches(await source.texts(step), { ...options, positions: model.description.maxPositions }));
    },
    identity: await teacherIdentity(teacher.model),
  });
  const onPolicySteps = losses.filter((_, step) => source.writer(step) === 'student').length;
  await student.writeBack({ details: { steps, onPolicySteps, firstLoss: losses[0]!, lastLoss: losses.at(-1)! } });
}
