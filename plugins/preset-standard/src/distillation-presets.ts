import { apiVersion, definePreset, type Preset, type RecipeStage } from '@pare/core';

/** Responses of the data first: a student that answers nothing sensible learns little from what it writes. */
const onData: RecipeStage = { technique: 'gkd', options: { onPolicyShare: 0, beta: 0, steps: 400 } };

function distillationPreset(id: string, title: string, summary: string, stages: readonly RecipeStage[]): Preset {
  return definePreset({ id, api: apiVersion, title, summary, recipe: { version: 1, name: id, description: summary, stages } });
}

export const onPolicy = distillationPreset(
  'gkd-on-policy',
  'GKD, half on policy',
  'Learns the responses to prompts from a teacher, then half the time from what the model itself writes. Needs --prompts and --set gkd.teacher=<model>.',
  [onData, { technique: 'gkd', options: { onPolicyShare: 0.5, beta: 0.5, steps: 200 } }],
);

export const reverseKl = distillationPreset(
  'minillm-reverse-kl',
  'MiniLLM',
  'Learns the responses to prompts from a teacher, then to write what the teacher finds likely. Needs --prompts, calibration text, --set gkd.teacher=<model> and --set minillm.teacher=<model>.',
  [onData, { technique: 'minillm', options: { steps: 200 } }],
);

export const sampledAnswers = distillationPreset(
  'distill-sequence-sampled',
  'Sequence-level distillation',
  'Learns what a teacher answers to prompts. Needs --prompts and --set distill-sequence.teacher=<model>, or an endpoint.',
  [{ technique: 'distill-sequence', options: { temperature: 1, steps: 400, batchSize: 16 } }],
);

export const stepByStep = distillationPreset(
  'cot-distillation-step-by-step',
  'Distilling step-by-step',
  'Learns answers to questions, and as a second task the reasons that a teacher gives. Needs --prompts and --set cot-distillation.teacher=<model>, or an endpoint.',
  [{ technique: 'cot-distillation', options: { method: 'step-by-step', steps: 400, batchSize: 16 } }],
);
