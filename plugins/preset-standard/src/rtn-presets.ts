import { apiVersion, definePreset, type Preset } from '@pare/core';

/** Round to nearest over every linear layer inside blocks: no data, seconds instead of minutes. */
function rtnPreset(id: string, title: string, summary: string, options: { bits: number; groupSize: number; symmetric: boolean; numbers?: string }): Preset {
  return definePreset({
    id,
    api: apiVersion,
    title,
    summary,
    recipe: { version: 1, name: id, description: summary, stages: [{ technique: 'rtn', options }] },
  });
}

export const rtnW8 = rtnPreset('rtn-w8', 'Rounding, 8 bits', '8 bits, symmetric, one scale for each output: practically lossless, no calibration text.', {
  bits: 8,
  groupSize: -1,
  symmetric: true,
});

export const rtnW4 = rtnPreset('rtn-w4', 'Rounding, 4 bits', '4 bits with a zero point for each group of 128 inputs, no calibration text; gptq-w4 is more accurate.', {
  bits: 4,
  groupSize: 128,
  symmetric: false,
});

export const rtnW3 = rtnPreset('rtn-w3', 'Rounding, 3 bits', '3 bits with a zero point for each group of 128 inputs, no calibration text; a baseline, gptq-w3 is far more accurate.', {
  bits: 3,
  groupSize: 128,
  symmetric: false,
});

export const rtnFp8 = rtnPreset('rtn-fp8', 'Rounding, 8-bit floats', '8-bit floats (E4M3) with one scale for each output: practically lossless, no calibration text.', {
  bits: 8,
  numbers: 'float8-e4m3',
  groupSize: -1,
  symmetric: true,
});
