import type { FormatContext, WrittenFile } from '@pare/core';
import { writeFolder } from '@pare/hf-folder';
import { matrixParts } from './matrix-parts.js';
import type { AwqFormatOptions } from './options.js';
import { quantizationConfig } from './quantization-config.js';

/** Writes configuration, companion files and weights. */
export function write(context: FormatContext<AwqFormatOptions>): Promise<readonly WrittenFile[]> {
  const { model, options } = context;
  return writeFolder(context, {
    format: 'awq',
    layout: {
      parts: (form, info) => matrixParts(form, info, options.scales),
      config: (schemes) => quantizationConfig(model.modules, schemes),
    },
  });
}
