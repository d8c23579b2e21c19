import { defineFormat, type Format } from '@pare/core';
import { gptqFormatOptions, type GptqFormatOptions } from './options.js';
import { notes, refuseModules } from './refuse.js';
import { verify } from './verify.js';
import { write } from './write.js';

export type { GptqFormatOptions } from './options.js';

/** A Hugging Face folder with the weights of GPTQ's checkpoints (Frantar et al., arXiv 2210.17323; the layout is AutoGPTQ's and GPTQModel's). */
export const gptqFormat: Format<GptqFormatOptions> = defineFormat<GptqFormatOptions>({
  id: 'gptq',
  api: 1,
  title: 'GPTQ folder',
  summary: 'A Hugging Face folder with qweight, qzeros, scales and g_idx for GPTQModel, transformers and vLLM: 2, 3, 4 or 8 bits, activation order included.',
  options: gptqFormatOptions,
  accepts: ['dense', 'quantized', 'sparse', 'factorized', 'tensor-train', 'shared'],
  refuse: refuseModules,
  notes,
  write,
  verify,
});

export default gptqFormat;
