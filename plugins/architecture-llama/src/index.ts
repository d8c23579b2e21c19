import { defineArchitecture, type Architecture, ConfigReader } from '@pare/core';
import { describeVariant } from './describe.js';
import { variants } from './variants.js';

/** Llama and the families that share its layout: Mistral, Qwen2, Qwen3, Qwen3-MoE, Phi-3 and Gemma 2. */
export const llamaArchitecture: Architecture = defineArchitecture({
  id: 'llama',
  api: 1,
  title: 'Llama family',
  summary: 'Llama, Mistral, Qwen2, Qwen3, Qwen3-MoE, Phi-3 and Gemma 2.',
  modelTypes: Object.keys(variants),
  basePrefix: 'model.',
  describe(config) {
    const reader = new ConfigReader(config);
    const modelType = reader.string('model_type');
    const variant = Object.hasOwn(variants, modelType) ? variants[modelType] : undefined;
    return describeVariant(reader, modelType, variant ?? reader.fail('model_type', modelType, Object.keys(variants).join(', ')));
  },
});

export default llamaArchitecture;
