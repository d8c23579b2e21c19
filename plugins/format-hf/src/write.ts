import { pareError, type FormatContext, type ModelSummary, type ModuleInfo, type WrittenFile } from '@pare/core';
import { writeFolder, type MatrixLayout } from '@pare/hf-folder';
import type { HuggingFaceOptions } from './options.js';
import { packedParts } from './pack-weight.js';
import { layoutOf } from './packed-scheme.js';
import { plainParts } from './plain-weight.js';
import { quantizationConfig } from './quantization-config.js';

/** Writes configuration, companion files and weights. */
export function write(context: FormatContext<HuggingFaceOptions>): Promise<readonly WrittenFile[]> {
  return writeFolder(context, { format: 'hf', layout: context.options.dequantize ? undefined : compressedLayout(context.model, context.options.unpacked) });
}

function compressedLayout({ modules }: ModelSummary, unpacked: boolean): MatrixLayout {
  return {
    parts(form, info) {
      requireLinear(info);
      return layoutOf(form.scheme, unpacked) === 'pack-quantized' ? packedParts(form) : plainParts(form);
    },
    config: (schemes) => quantizationConfig(modules, schemes, unpacked),
  };
}

function requireLinear(info: ModuleInfo): void {
  if (info.layout === 'out-in' && (info.kind === 'linear' || info.kind === 'head')) return;
  throw pareError('PARE_FORM_UNSUPPORTED', {
    operation: `writing ${info.name} in compressed-tensors' layouts`,
    found: info.layout === 'in-out' ? 'a quantized Conv1D' : `a quantized ${info.kind}`,
    allowed: 'quantized Linear layers; "dequantize: true" writes others dense',
  });
}
