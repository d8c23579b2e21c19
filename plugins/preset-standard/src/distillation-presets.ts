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
