import { defineFormat, type Format, type FormatContext } from '@pare/core';
import { sparseNotes } from '@pare/weights';
import { basename } from 'node:path';
import { onnxArtifacts } from './artifacts.js';
import { writeCompanions, type WrittenVariant } from './companions.js';
import { onnxOptions, type OnnxOptions } from './options.js';
import { refuse } from './refuse.js';
import { resolveVariants } from './variants.js';
import { planMatrices, writeVariant } from './write.js';

export { onnxOptions, type OnnxOptions } from './options.js';

/** ONNX decoder with key-value cache, as transformers.js and onnxruntime load it. */
export const onnxFormat: Format<OnnxOptions> = defineFormat<OnnxOptions>({
  id: 'onnx',
  api: 1,
  title: 'ONNX',
  summary: 'ONNX decoder with key-value cache in the layout of transformers.js: fp32, fp16, or packed 2, 4 and 8 bits.',
  options: onnxOptions,
  accepts: ['dense', 'quantized', 'sparse', 'factorized', 'tensor-train', 'shared'],
  artifacts: onnxArtifacts,
  refuse,
  notes: (summary, plans) => sparseNotes(summary, plans, 'ONNX'),
  async write(context: FormatContext<OnnxOptions>) {
    const matrices = await planMatrices(context);
    const variants = resolveVariants(
      context.options.dtype,
      [...matrices.quantized.values()].map(({ bits }) => bits),
    );
    const written: WrittenVariant[] = [];
    const files = [];
    for (const variant of variants) {
      const parts = await writeVariant(context, variant, matrices);
      files.push(...parts);
      written.push({ variant, fileName: basename(parts[0]!.path), dataFiles: parts.length - 1 });
    }
    return [...files, ...(await writeCompanions(context, written))];
  },
  async verify(context, files) {
    const { verify } = await import('./verify.js');
    return verify(context, files);
  },
});

export default onnxFormat;
