import type { InputScheme } from '@pare/core';
import type { SchemeSummary } from '@pare/hf-folder';

/** The layouts of compressed-tensors that are written: codes in words, one int8 a code, 8-bit floats. */
export type WeightLayout = 'pack-quantized' | 'int-quantized' | 'float-quantized';

/** What a config group says about its matrices. Forms of equal schemes share a group. */
export interface PackedScheme {
  readonly layout: WeightLayout;
  readonly bits: number;
  readonly symmetric: boolean;
  readonly granularity: 'tensor' | 'channel' | 'group';
  /** Inputs that share a scale, for granularity `group`. */
  readonly groupSize: number | undefined;
  readonly groupIndex: boolean;
  /** How the layers round their inputs, if they do. */
  readonly input: InputScheme | undefined;
}

/**
 * The layout of a matrix.
 * @param unpacked true to store 8-bit integers with one scale a row or matrix as they are, not in words; those of layers that round their inputs always are
 */
export function layoutOf({ scheme: { bits, granularity, numbers }, input }: Pick<SchemeSummary, 'scheme' | 'input'>, unpacked: boolean): WeightLayout {
  if (numbers === 'float8-e4m3') return 'float-quantized';
  return (unpacked || input !== undefined) && bits === 8 && granularity !== 'group' ? 'int-quantized' : 'pack-quantized';
}

/** The scheme of a quantized matrix. */
export function schemeOf({ scheme, groupIndex, input }: SchemeSummary, unpacked: boolean): PackedScheme {
  const { bits, symmetric, granularity, groupSize } = scheme;
  return { layout: layoutOf({ scheme, input }, unpacked), bits, symmetric, granularity, groupSize: granularity === 'group' ? groupSize : undefined, groupIndex, input };
}

/** Equal for equal schemes. */
export function schemeKey(scheme: PackedScheme): string {
  const { input } = scheme;
  return [scheme.layout, scheme.bits, scheme.symmetric, scheme.granularity, scheme.groupSize, scheme.groupIndex, input?.symmetric, input?.granularity].join(' ');
}
