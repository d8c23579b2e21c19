import { throwIfAborted, type FormatContext, type Model, type WrittenFile } from '@pare/core';
import { writeFolder } from '@pare/hf-folder';
import { quantizedPart } from '@pare/weights';
import { matrixParts, type CheckpointVersion } from './matrix-parts.js';
import type { GptqFormatOptions } from './options.js';
import { quantizationConfig } from './quantization-config.js';

/** Writes configuration, companion files and weights. */
export async function write(context: FormatContext<GptqFormatOptions>): Promise<readonly WrittenFile[]> {
  const { model, options } = context;
  const version = await resolveVersion(context);
  return writeFolder(context, {
    format: 'gptq',
    layout: {
      parts: (form, info) => matrixParts(form, info, version, options.scales),
      config: (schemes) => quantizationConfig(model.modules, schemes, version),
      configCopy: 'quantize_config.json',
    },
  });
}

/** Version 1 as long as no grid has zero points. */
async function resolveVersion({ model, options, signal }: FormatContext<GptqFormatOptions>): Promise<CheckpointVersion> {
  if (options.version !== 'auto') return options.version;
  return (await hasZeroPoints(model, signal)) ? 2 : 1;
}

async function hasZeroPoints(model: Model, signal: AbortSignal): Promise<boolean> {
  for (const { name, form } of model.modules) {
    throwIfAborted(signal, 'writing the GPTQ folder');
    if ((form === 'quantized' || form === 'sparse') && quantizedPart(await model.weight(name))?.scheme.symmetric === false) return true;
  }
  return false;
}
