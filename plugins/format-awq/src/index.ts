import { defineFormat, type Format } from '@pare/core';
import { awqFormatOptions, type AwqFormatOptions } from './options.js';
import { notes, refuseModules } from './refuse.js';
import { verify } from './verify.js';
import { write } from './write.js';

export type { AwqFormatOptions } from './options.js';

/** A Hugging Face folder with 4-bit weights in the GEMM layout of AutoAWQ (Lin et al., arXiv 2306.00978). It stores codes and grids of any technique. */
export const awqFormat: Format<AwqFormatOptions> = defineFormat<AwqFormatOptions>({
  id: 'awq',
  api: 1,
  title: 'AWQ folder',
  summary: "A Hugging Face folder with 4-bit weights in AWQ's GEMM layout, for vLLM, transformers and GPTQModel: one group size, zero points, float16 scales.",
  options: awqFormatOptions,
  accepts: ['dense', 'quantized', 'sparse', 'factorized', 'tensor-train', 'shared'],
  refuse: refuseModules,
  notes,
  write,
  verify,
});

export default awqFormat;
