import { apiVersion, definePreset, type Preset } from '@pare/core';

/** AWQ over every linear layer inside blocks (Lin et al., arXiv 2306.00978) with the paper's settings: zero points, groups of 128, twenty exponents, clip search. */
function awqPreset(bits: 3 | 4, summary: string): Preset {
  const id = `awq-w${String(bits)}`;
  return definePreset({
    id,
    api: apiVersion,
    title: `AWQ, ${String(bits)} bits`,
    summary,
    recipe: {
      version: 1,
      name: id,
      description: summary,
      stages: [{ technique: 'awq', options: { bits, groupSize: 128, symmetric: false, gridPoints: 20, clipSearch: true } }],
    },
  });
}

export const awqW4 = awqPreset(4, '4 bits with zero points, groups of 128 inputs, channels with large activations scaled up before rounding. Needs calibration text.');

export const awqW3 = awqPreset(3, '3 bits with zero points, groups of 128 inputs, for when 4 bits are too large. Needs calibration text.');
