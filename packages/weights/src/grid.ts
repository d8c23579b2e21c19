import { pareError } from '@pare/core';
import { power, powerTable, type PowerTable } from './power-table.js';
import { roundingShift, roundToStorage, smallestPositive } from './rounding.js';
import { largestCode, symmetricZero, type QuantizerOptions, type ScaleType } from './scheme.js';

/** An affine integer grid: value = scale · (code − zero), code = clamp(round(value / divisor) + zero, 0, 2^bits − 1), ties to even. */
export interface Grid {
  /** As it will be stored. */
  readonly scale: number;
  /**
   * What values are divided by to choose codes. The stored scale; for float32 storage the unrounded double, because the extreme of a
   * symmetric group sits exactly between two codes and rounding the scale first would toss a coin for it.
   */
  readonly divisor: number;
  readonly zero: number;
}

/** Candidates of the clip search: the range shrunk to 1, 0.99, … 0.21 of itself (GPTQ's quantizer, grid 100, maximum shrink 0.8). */
export const clipCandidates = 80;

/**
 * The grid of `count` values from `offset` on, `stride` apart.
 *
 * Symmetric: scale = 2·max|w| / (2^b − 1), zero = 2^(b−1). Asymmetric: lo = min(0, min w), hi = max(0, max w), scale = (hi − lo) / (2^b − 1),
 * zero = round(−lo / scale), so that 0 is exact. The scale is rounded to `scaleType` before zero and codes are computed from it. All zeros:
 * scale 1, and every code is the zero. Clip `mse` shrinks the range by 1 − i/100, i = 0 … 79, and keeps the first candidate of least Σ|ŵ − w|^norm.
 *
 * @throws PARE_WEIGHT_NOT_FINITE, and PARE_SCALE_OVERFLOW when the scale is too large for its type.
 */
export function computeGrid(
  values: Float32Array,
  options: Pick<QuantizerOptions, 'bits' | 'symmetric' | 'clip' | 'norm'>,
  scaleType: ScaleType,
  offset = 0,
  count = values.length,
  stride = 1,
): Grid {
  let low = 0;
  let high = 0;
  let finite = 0;
  const end = offset + count * stride;
  for (let index = offset; index < end; index += stride) {
    const value = values[index]!;
    if (value < low) low = value;
    if (value > high) high = value;
    finite += value * 0;
  }
  if (finite !== 0) throw notFinite(values, offset, end, stride);
  const range: Range = { low, high };
  const whole = gridOfRange(range, 1, options, scaleType);
  if (options.clip !== 'mse' || (low === 0 && high === 0)) return whole;

  const table = powerTable(options.norm ?? 2.4);
  const extremes = Float32Array.of(low, high);
  let best = whole;
  let least = gridError(values, offset, end, stride, whole, options.bits, table, Infinity);
  for (let step = 1; step < clipCandidates; step++) {
    const grid = gridOfRange(range, 1 - step / 100, options, scaleType);
    // Errors are summed in units of the candidate's scale and compared in units of the whole range's.
    const unit = power(table, grid.scale / whole.scale);
    const limit = least / unit;
    // Scales only fall from here on, so what is cut off the extremes only grows: once that alone exceeds the least error, the search is over. With
    // zero points the ends of the grid may move by a step each way.
    const reach = largestCode(options.bits) - grid.zero;
    const cutOff = Math.max(-low / grid.scale - grid.zero, high / grid.scale - reach) - (options.symmetric ? 0 : 2);
    if (cutOff > 0 && power(table, cutOff) > limit) break;
    // And the extremes are clipped hardest, so they may rule a candidate out before the rest is looked at.
    if (gridError(extremes, 0, 2, 1, grid, options.bits, table, limit) > limit) continue;
    const error = gridError(values, offset, end, stride, grid, options.bits, table, limit) * unit;
    if (error < least) {
      least = error;
      best = grid;
    }
  }
  return best;
}

/**
 * The scale that takes the largest magnitude of some values to `largest`, as it will be stored; 1 for zeros, and the smallest positive value of the type where it would vanish.
 * @throws PARE_WEIGHT_NOT_FINITE, PARE_SCALE_OVERFLOW
 */
export function symmetricScale(values: Float32Array, largest: number, scaleType: ScaleType, offset: number, count: number): number {
  let magnitude = 0;
  for (let index = offset; index < offset + count; index++) {
    const value = Math.abs(values[index]!);
    if (!(value < Infinity)) throw notFinite(values, offset, offset + count, 1);
    if (value > magnitude) magnitude = value;
  }
  if (magnitude === 0) return 1;
  const exact = magnitude / largest;
  const scale = roundToStorage(exact, scaleType);
  if (scale === Infinity) throw pareError('PARE_SCALE_OVERFLOW', { scale: exact, scaleType });
  return scale === 0 ? smallestPositive(scaleType) : scale;
}

/** The code of a value on a grid. */
export function encode(value: number, grid: Grid, bits: number): number {
  const code = value / grid.divisor + roundingShift - roundingShift + grid.zero;
  const largest = largestCode(bits);
  return code < 0 ? 0 : code > largest ? largest : code;
}

interface Range {
  /** At most 0. */
  readonly low: number;
  /** At least 0. */
  readonly high: number;
}

function gridOfRange(range: Range, shrink: number, options: Pick<QuantizerOptions, 'bits' | 'symmetric'>, scaleType: ScaleType): Grid {
  const { bits, symmetric } = options;
  const largest = largestCode(bits);
  const low = shrink * range.low;
  const high = shrink * range.high;
  const exact = symmetric ? (2 * Math.max(-low, high)) / largest : (high - low) / largest;
  if (exact === 0) return { scale: 1, divisor: 1, zero: symmetric ? symmetricZero(bits) : 0 };
  let scale = roundToStorage(exact, scaleType);
  let divisor = scaleType === 'float32' ? exact : scale;
  if (scale === 0) {
    scale = smallestPositive(scaleType);
    divisor = scale;
  }
  if (scale === Infinity) throw pareError('PARE_SCALE_OVERFLOW', { scale: exact, scaleType });
  if (symmetric) return { scale, divisor, zero: symmetricZero(bits) };
  const zero = -low / divisor + roundingShift - roundingShift;
  return { scale, divisor, zero: zero < largest ? zero : largest };
}

/** Σ |w/s − (code − zero)|^norm over the values, given up (as some larger number) once it exceeds `limit`. */
function gridError(values: Float32Array, offset: number, end: number, stride: number, grid: Grid, bits: number, table: PowerTable, limit: number): number {
  const { divisor, zero } = grid;
  const lowest = -zero;
  const highest = largestCode(bits) - zero;
  let error = 0;
  for (let index = offset; index < end; index += stride) {
    const scaled = values[index]! / divisor;
    let code = scaled + roundingShift - roundingShift;
    if (code < lowest) code = lowest;
    if (code > highest) code = highest;
    error += power(table, Math.abs(scaled - code));
    if (error > limit) break;
  }
  return error;
}

function notFinite(values: Float32Array, offset: number, end: number, stride: number): Error {
  let index = offset;
  while (index < end && Number.isFinite(values[index])) index += stride;
  return pareError('PARE_WEIGHT_NOT_FINITE', { tensor: 'weight', index, value: String(values[index]) });
}
