import { pareError, type FormatContext, type ModelSummary, type ModuleInfo, type QuantizedWeight, type WrittenFile } from '@pare/core';
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
      if (form.input !== undefined) requireIntegers(info, form);
      return layoutOf(form, unpacked) === 'pack-quantized' ? packedParts(form) : plainParts(form);
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

function requireIntegers(info: ModuleInfo, { scheme: { bits, granularity, numbers }, groupIndex }: QuantizedWeight): void {
  if (bits === 8 && numbers === undefined && granularity !== 'group' && groupIndex === undefined) return;
  throw pareError('PARE_FORM_UNSUPPORTED', {
    operation: `writing ${info.name} with rounded inputs as int-quantized`,
    found: `${String(bits)} bits${numbers === undefined ? '' : ' of floats'} by ${granularity}`,
    allowed: '8-bit integers with one grid an output or a matrix; "dequantize: true" writes others dense',
  });
}
