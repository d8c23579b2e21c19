import { apiVersion, definePreset, type Preset, type RecipeStage } from '@pare/core';

/** SmoothQuant (Xiao et al., arXiv 2211.10438) at the strength that its authors use for Mistral and Mixtral; inputs are rounded a token at a time. */
function smoothquantPreset(id: string, title: string, summary: string, stages: readonly RecipeStage[]): Preset {
  return definePreset({ id, api: apiVersion, title, summary, recipe: { version: 1, name: id, description: summary, stages } });
}

export const smoothquantW8A8 = smoothquantPreset(
  'smoothquant-w8a8',
  'SmoothQuant, 8-bit weights and activations',
  'Outliers of activations move into the weights, then both are rounded to 8 bits: integer products at half of float16. Needs calibration text.',
  [{ technique: 'smoothquant', options: { strength: 0.8, activations: 'dynamic-token' } }],
);

export const smoothquantGptqW8A8 = smoothquantPreset(
  'smoothquant-gptq-w8a8',
  'SmoothQuant, then GPTQ with 8-bit weights and activations',
  'Outliers of activations move into the weights, then GPTQ rounds weights to 8 bits and activations with them: the most accurate W8A8. Needs calibration text.',
  [
    { technique: 'smoothquant', options: { strength: 0.8, quantize: false } },
    { technique: 'gptq', options: { bits: 8, groupSize: -1, symmetric: true, actOrder: true, staticGroups: true, damping: 0.01, blockSize: 128, activations: 'dynamic-token' } },
  ],
);
