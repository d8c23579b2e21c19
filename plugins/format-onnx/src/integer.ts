import type { InputQuantization, QuantizedWeight } from '@pare/core';

/** A quantized matrix whose products with rounded inputs are integer products (`MatMulInteger`). */
export interface IntegerLayout {
  readonly module: string;
  /** [out, in]. */
  readonly shape: readonly [number, number];
  readonly input: InputQuantization;
  /** Scales: 1, or one an output. */
  readonly scales: number;
  /** True when the zero points are stored; otherwise all are 128. */
  readonly zeroPoints: boolean;
}

/**
 * The layout of a matrix of 8-bit codes whose layer rounds its inputs and whose grids end with its rows; undefined for others, whose products stay in floating point.
 * Codes stay unsigned, and so do those of inputs: onnxruntime's products of unsigned with signed bytes saturate on processors without VNNI, and those of signed with signed are slow.
 */
export function planInteger(module: string, { shape, scheme, scales, zeros, groupIndex, input }: QuantizedWeight): IntegerLayout | undefined {
  if (input === undefined || scheme.bits !== 8 || scheme.numbers !== undefined || scheme.granularity === 'group' || groupIndex !== undefined) return undefined;
  return { module, shape, input, scales: scales.length, zeroPoints: zeros !== undefined };
}

/** Names of its constants. */
export function integerNames(module: string): { readonly codes: string; readonly scales: string; readonly zeroPoints: string } {
  return { codes: `${module}.MatMulInteger.weight`, scales: `${module}.MatMulInteger.scales`, zeroPoints: `${module}.MatMulInteger.zero_points` };
}

/** The codes of inputs on a grid around zero are shifted by this to be unsigned. */
export const unsignedShift = 128;
