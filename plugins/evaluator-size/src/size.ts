import { dtypeBits, elementCount, type DType, type ModelSummary } from '@pare/core';

/** Sizes of a model with everything counted. */
export interface ModelSize {
  /** Logical elements of all tensors; a tied matrix counts once. */
  readonly parameters: number;
  /** Bytes of the stored weights: codes, scales, zeros, indices and every tensor that was left alone. */
  readonly bytes: number;
  /** 8 · bytes / parameters. */
  readonly bitsPerWeight: number;
  /** Bytes of the dense original divided by bytes. */
  readonly compressionRatio: number;
  /** Bytes of the dense original: every tensor in the type that it had before compression. */
  readonly baselineBytes: number;
  /** Types of the baseline: `bfloat16`, or `bfloat16, float32` when tensors differ. */
  readonly baselineType: string;
}

const floatTypes: readonly DType[] = ['float64', 'float32', 'float16', 'bfloat16'];

/**
 * The size of a model from its summary. A compressed matrix no longer tells the type it had: the configuration does (`dtype`, formerly `torch_dtype`), and
 * where it does not, the type of the matrix's scales stands in, which is that of the original unless a recipe chose another.
 */
export function sizeOf(summary: ModelSummary): ModelSize {
  const { config, parameters, bytes } = summary;
  const stated = [config['dtype'], config['torch_dtype']].find((value) => typeof value === 'string')?.replace(/^torch\./, '');
  const original = floatTypes.find((dtype) => dtype === stated);
  const compressed = new Set(summary.modules.filter(({ form }) => form !== 'dense' && form !== 'shared').map(({ name }) => `${name}.weight`));
  const types = new Set<DType>();
  let baselineBits = 0;
  for (const { name, dtype, shape } of summary.tensors) {
    const before = compressed.has(name) ? (original ?? dtype) : dtype;
    types.add(before);
    baselineBits += elementCount(shape) * dtypeBits(before);
  }
  const baselineBytes = Math.ceil(baselineBits / 8);
  return {
    parameters,
    bytes,
    bitsPerWeight: (8 * bytes) / parameters,
    compressionRatio: baselineBytes / bytes,
    baselineBytes,
    baselineType: [...types].sort().join(', '),
  };
}
