import { apiVersion, definePreset, type Preset } from '@pare/core';

/**
 * GPTQ over every linear layer inside blocks (Frantar et al., arXiv 2210.17323) with the settings that its users converged on: columns in order of
 * falling Hessian diagonal with the grids of all groups fixed beforehand, so that the stored weights need no column order (`actOrder`, `staticGroups`),
 * 1 % damping and blocks of 128 columns.
 */
function gptqPreset(id: string, title: string, summary: string, options: { bits: number; groupSize: number; symmetric: boolean }): Preset {
  return definePreset({
    id,
    api: apiVersion,
    title,
    summary,
    recipe: {
      version: 1,
      name: id,
      description: summary,
      stages: [{ technique: 'gptq', options: { ...options, actOrder: true, staticGroups: true, damping: 0.01, blockSize: 128 } }],
    },
  });
}

export const gptqW4 = gptqPreset('gptq-w4', 'GPTQ, 4 bits', 'The usual choice: 4 bits, symmetric, groups of 128 inputs; about a quarter of float16. Needs calibration text.', {
  bits: 4,
  groupSize: 128,
  symmetric: true,
});

export const gptqW4Asymmetric = gptqPreset(
  'gptq-w4-asymmetric',
  'GPTQ, 4 bits with zero points',
  '4 bits with a zero point for each group of 128 inputs: slightly more accurate than gptq-w4 and slightly larger. Needs calibration text.',
  { bits: 4, groupSize: 128, symmetric: false },
);

export const gptqW3 = gptqPreset('gptq-w3', 'GPTQ, 3 bits', '3 bits, symmetric, groups of 128 inputs, for when 4 bits are too large. Needs calibration text.', {
  bits: 3,
  groupSize: 128,
  symmetric: true,
});

export const gptqW8 = gptqPreset('gptq-w8', 'GPTQ, 8 bits', '8 bits, symmetric, one scale for each output: practically lossless at half of float16. Needs calibration text.', {
  bits: 8,
  groupSize: -1,
  symmetric: true,
});
