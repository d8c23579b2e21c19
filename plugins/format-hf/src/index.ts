import { defineFormat, type Format } from '@pare/core';
import { productNotes } from '@pare/hf-folder';
import { sparseNotes } from '@pare/weights';
import { huggingFaceOptions, type HuggingFaceOptions } from './options.js';
import { floatNotes, inputNotes, refuseModules } from './refuse.js';
import { verify } from './verify.js';
import { write } from './write.js';

export type { HuggingFaceOptions } from './options.js';

/** A Hugging Face model folder; quantized weights in compressed-tensors' formats. */
export const huggingFaceFormat: Format<HuggingFaceOptions> = defineFormat<HuggingFaceOptions>({
  id: 'hf',
  api: 1,
  title: 'Hugging Face folder',
  summary: 'A folder for transformers, vLLM and llm-compressor: config, tokenizer, safetensors; quantized weights as compressed-tensors pack-quantized, int-quantized or float-quantized.',
  options: huggingFaceOptions,
  accepts: ['dense', 'quantized', 'sparse', 'factorized', 'tensor-train', 'shared'],
  refuse: refuseModules,
  notes: (summary, plans, options) => [...sparseNotes(summary, plans, 'a Hugging Face folder'), ...productNotes(summary, plans), ...floatNotes(summary, plans), ...(options.dequantize ? inputNotes(plans) : [])],
  write,
  verify,
});

export default huggingFaceFormat;
