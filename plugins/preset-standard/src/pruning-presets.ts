import { apiVersion, definePreset, type Preset, type RecipeStage } from '@pare/core';

/** Pruning over every linear layer inside blocks. Files keep the zeros, so they are as large as before: what pruning saves shows with runtimes that know masks. */
function pruningPreset(id: string, title: string, summary: string, stages: readonly RecipeStage[]): Preset {
  return definePreset({ id, api: apiVersion, title, summary, recipe: { version: 1, name: id, description: summary, stages } });
}

/** SparseGPT (Frantar and Alistarh, arXiv 2301.00774) with the paper's 1 % damping and blocks of 128 columns. */
const sparsegptStage = (options: { sparsity?: number; pattern?: string }): RecipeStage => ({ technique: 'sparsegpt', options: { ...options, damping: 0.01, blockSize: 128 } });

export const sparsegpt50 = pruningPreset('sparsegpt-50', 'SparseGPT, half of the weights', 'Half of the weights of every layer become zero, and the others make up for them. Needs calibration text.', [
  sparsegptStage({ sparsity: 0.5 }),
]);

export const sparsegpt24 = pruningPreset('sparsegpt-2-4', 'SparseGPT, 2:4', 'Two of every four neighbouring weights become zero, the pattern of sparse tensor cores, and the others make up for them. Needs calibration text.', [
  sparsegptStage({ pattern: '2:4' }),
]);

export const sparsegpt24GptqW4 = pruningPreset(
  'sparsegpt-2-4-gptq-w4',
  'SparseGPT 2:4, then GPTQ with 4 bits',
  'Two of every four weights become zero, then what is left is quantized to 4 bits in groups of 128; zeros stay exactly zero. Needs calibration text.',
  [sparsegptStage({ pattern: '2:4' }), { technique: 'gptq', options: { bits: 4, groupSize: 128, symmetric: true, actOrder: true, staticGroups: true, damping: 0.01, blockSize: 128 } }],
);

export const wanda50 = pruningPreset('wanda-50', 'Wanda, half of the weights', 'In every output the half of the weights with the smallest magnitude times input norm becomes zero. Needs calibration text.', [
  { technique: 'wanda', options: { sparsity: 0.5 } },
]);

export const wanda24 = pruningPreset('wanda-2-4', 'Wanda, 2:4', 'Two of every four neighbouring weights become zero, those with the smallest magnitude times input norm. Needs calibration text.', [
  { technique: 'wanda', options: { pattern: '2:4' } },
]);

export const magnitude50 = pruningPreset('magnitude-50', 'Magnitude, half of the weights', 'The smaller half of the weights of every layer becomes zero, no calibration text; a baseline, sparsegpt-50 is far more accurate.', [
  { technique: 'magnitude', options: { sparsity: 0.5, ranking: 'layer' } },
]);
