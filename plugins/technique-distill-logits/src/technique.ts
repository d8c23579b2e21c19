import { apiVersion, defineTechnique, type Technique } from '@pare/core';
import { calibrationBatches, openTeacher, planTraining, requireSameTokens, sharedOptions, Student, TeacherLogits, teacherIdentity, teacherServices, trainStudent, type TeacherServices, type TrainingContext } from '@pare/distillation';
import { distillation } from '@pare/training';
import { distillLogitsOptions, type DistillLogitsOptions } from './options.js';

/**
 * Knowledge distillation with soft labels (Hinton et al. 2015, arXiv 1503.02531): the student is trained to predict, at every position of a text, the distribution that the teacher
 * predicts there. Teacher and student compute side by side on the backend; logits are never stored.
 */
export const distillLogits: Technique<DistillLogitsOptions, TeacherServices> = defineTechnique<DistillLogitsOptions, TeacherServices>({
  id: 'distill-logits',
  api: apiVersion,
  title: 'Logit distillation',
  summary: 'Trains the model to predict what a teacher predicts on the calibration text, with soft labels and a temperature.',
  family: 'distillation',
  scope: 'training',
  paper: 'arXiv:1503.02531',
  options: distillLogitsOptions,
  deps: teacherServices,
  accepts: ['dense'],
  produces: ['dense'],
  adjusts: true,
  plan: (targets, summary) => planTraining(targets, summary, { options: sharedOptions(targets), teacherPasses: 1 }),
  apply,
});

async function apply(context: TrainingContext<DistillLogitsOptions>): Promise<void> {
  const { modules, model, windows, backend, signal, log } = context;
  const options = sharedOptions(modules);
  await using teacher = await openTeacher(context, options.teacher);
  await requireSameTokens(teacher.model, model);
  log.info(`${model.name} learns from ${teacher.model.name}: ${String(windows.length)} windows, ${String(options.steps)} steps`);

  using student = await Student.load(context, options);
  await using lessons = await TeacherLogits.load(backend, teacher.model, signal);
  const { divergence, beta, temperature, labelShare, steps } = options;
  const text = calibrationBatches(context, options);
  const { losses } = await trainStudent(context, student, {
    options,
    loss: distillation({ divergence, beta, temperature, labelShare }),
    batches: (step) => lessons.beside(text(step)),
    identity: await teacherIdentity(teacher.model),
  });
  await student.writeBack({ details: { steps, firstLoss: losses[0]!, lastLoss: losses.at(-1)! } });
}
