import { apiVersion, definePreset, type Preset, type RecipeStage } from '@pare/core';

/** Factors in place of every linear layer inside blocks, with four fifths of its numbers. */
function factorizationPreset(id: string, title: string, summary: string, stages: readonly RecipeStage[]): Preset {
  return definePreset({ id, api: apiVersion, title, summary, recipe: { version: 1, name: id, description: summary, stages } });
}

export const svdLlm80 = factorizationPreset(
  'svd-llm-80',
  'SVD-LLM, four fifths',
  'Each matrix becomes two of lower rank with 80 % of its numbers that change its outputs least. Needs calibration text; write it with format onnx.',
  [{ technique: 'svd-llm', options: { by: 'ratio', ratio: 0.8 } }],
);

export const svd80 = factorizationPreset(
  'svd-80',
  'SVD, four fifths',
  'Each matrix becomes two of lower rank with 80 % of its numbers, no calibration text; a baseline, svd-llm-80 is far more accurate. Write it with format onnx.',
  [{ technique: 'svd', options: { by: 'ratio', ratio: 0.8 } }],
);
