import type { Preset } from '@pare/core';
import { awqW3, awqW4 } from './awq-presets.js';
import { onPolicy, reverseKl, sampledAnswers, stepByStep } from './distillation-presets.js';
import { svd80, svdLlm80 } from './factorization-presets.js';
import { gptqW3, gptqW4, gptqW4Asymmetric, gptqW8 } from './gptq-presets.js';
import { magnitude50, sparsegpt24, sparsegpt24GptqW4, sparsegpt50, wanda24, wanda50 } from './pruning-presets.js';
import { rtnFp8, rtnW3, rtnW4, rtnW8 } from './rtn-presets.js';
import { smoothquantGptqW8A8, smoothquantW8A8 } from './smoothquant-presets.js';

export { awqW3, awqW4, gptqW3, gptqW4, gptqW4Asymmetric, gptqW8, magnitude50, onPolicy, reverseKl, rtnFp8, rtnW3, rtnW4, rtnW8, sampledAnswers, smoothquantGptqW8A8, smoothquantW8A8, sparsegpt24, sparsegpt24GptqW4, sparsegpt50, stepByStep, svd80, svdLlm80, wanda24, wanda50 };

/** Every preset of this package. */
const presets: readonly Preset[] = [
  ...[gptqW3, gptqW4, gptqW4Asymmetric, gptqW8],
  ...[awqW4, awqW3],
  ...[rtnFp8, rtnW3, rtnW4, rtnW8],
  ...[smoothquantW8A8, smoothquantGptqW8A8],
  ...[sparsegpt50, sparsegpt24, sparsegpt24GptqW4, wanda50, wanda24, magnitude50],
  ...[svdLlm80, svd80],
  ...[onPolicy, reverseKl, sampledAnswers, stepByStep],
];

export default presets;
