import type { DType, QuantizationNumbers, QuantizationScheme, QuantizedWeight } from '@pare/core';

/** Types that scales can be stored in. */
export type ScaleType = QuantizedWeight['scaleType'];

/** The storage type of scales that an option asks for; `auto` is the type of the dense weight, float32 where that has no such type. */
export function resolveScaleType(option: ScaleType | 'auto', weightType: DType): ScaleType {
  if (option !== 'auto') return option;
  return weightType === 'float16' || weightType === 'bfloat16' ? weightType : 'float32';
}

/** How the range of a grid is chosen: the extremes of its values, or the shrunk range with the least reconstruction error. */
export type Clip = 'minmax' | 'mse';

/** What a caller says about a grid; `resolveScheme` turns it into the stored scheme of a matrix. */
export interface QuantizerOptions {
  /** Bits of a code, 2 to 8. */
  readonly bits: number;
  readonly symmetric: boolean;
  /** `group` by default. */
  readonly granularity?: QuantizationScheme['granularity'] | undefined;
  /** Inputs that share a grid for granularity `group`; −1 (the default) for one grid a row. */
  readonly groupSize?: number | undefined;
  /** `minmax` by default. */
  readonly clip?: Clip | undefined;
  /** Exponent of the clip search's error; 2.4 by default. */
  readonly norm?: number | undefined;
  /** Integers by default. 8-bit floats are symmetric, have 8 bits, and no clip search: their steps grow with the value, so there is little to win by clipping. */
  readonly numbers?: QuantizationNumbers | undefined;
}

/**
 * The stored scheme for rows of `columns` inputs. One group as long as the row is granularity `channel`.
 * @throws RangeError for bits outside 2 to 8, a group size that is neither −1 nor positive, or 8-bit floats of another width, with zero points or a clip search.
 */
export function resolveScheme(options: QuantizerOptions, columns: number): QuantizationScheme {
  const { bits, symmetric, granularity = 'group', groupSize = -1 } = options;
  if (!Number.isInteger(bits) || bits < 2 || bits > 8) throw new RangeError(`bits is ${String(bits)}; grids have 2 to 8`);
  const codes = numbersOf(options);
  if (granularity !== 'group') return { bits, symmetric, granularity, groupSize: columns, ...codes };
  if (groupSize !== -1 && (!Number.isInteger(groupSize) || groupSize < 1)) throw new RangeError(`groupSize is ${String(groupSize)}; it is −1 or at least 1`);
  if (groupSize === -1 || groupSize >= columns) return { bits, symmetric, granularity: 'channel', groupSize: columns, ...codes };
  return { bits, symmetric, granularity, groupSize, ...codes };
}

/** Nothing for integers, so that their schemes are as they always were. */
function numbersOf(options: QuantizerOptions): Pick<QuantizationScheme, 'numbers'> {
  if (options.numbers !== 'float8-e4m3') return {};
  if (options.bits !== 8 || !options.symmetric || options.clip === 'mse') throw new RangeError('8-bit floats have 8 bits, no zero points and no clip search');
  return { numbers: options.numbers };
}

/** Grids a row of `columns` inputs has. The last group is shorter when the size does not divide the row. */
export function groupsPerRow(scheme: QuantizationScheme, columns: number): number {
  return scheme.granularity === 'group' ? Math.ceil(columns / scheme.groupSize) : 1;
}

/** The largest code, 2^bits − 1. */
export function largestCode(bits: number): number {
  // A shift, because powers of a variable cost a call for every weight that is rounded.
  return (1 << bits) - 1;
}

/** The zero of a symmetric grid, 2^(bits−1). */
export function symmetricZero(bits: number): number {
  return 1 << (bits - 1);
}

/** Why a group size does not fit rows of `columns` inputs, with those that do; undefined when it does. */
export function groupSizeProblem(groupSize: number, columns: number): string | undefined {
  if (groupSize === -1 || columns % groupSize === 0) return undefined;
  return `groupSize ${String(groupSize)} does not divide its ${String(columns)} inputs; sizes that do: -1, ${fittingGroupSizes(columns).join(', ')}`;
}

/** Numbers of inputs that divide `columns` and may serve as group sizes (8 or more), ascending. */
export function fittingGroupSizes(columns: number): number[] {
  const sizes: number[] = [];
  for (let size = 8; size <= columns; size++) if (columns % size === 0) sizes.push(size);
  return sizes;
}
