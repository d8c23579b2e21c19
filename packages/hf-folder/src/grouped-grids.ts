import { float32ToFloat16, pareError, toFloat16Bits, type QuantizedWeight } from '@pare/core';
import { encodeScales, groupsPerRow, symmetricZero, transposeArray } from '@pare/weights';
import type { StoredPart } from './matrix-layout.js';

/* GPTQ and AWQ store grids by group first, [G, out], with a scale and a zero point for every output. */

/**
 * The tensor `scales` [G, out].
 * @param type of the elements: float16 as both layouts know it, rounded where the scales are held in another type, or the type they are held in
 * @throws PARE_SCALE_OVERFLOW for scales that float16 holds as infinity or zero
 */
export function groupedScales(form: QuantizedWeight, type: 'float16' | 'held'): StoredPart {
  const [rows, columns] = form.shape;
  const groups = groupsPerRow(form.scheme, columns);
  const dtype = type === 'held' ? form.scaleType : type;
  if (dtype === 'float16') {
    const lost = form.scales.find((scale) => !(toFloat16Bits(scale) > 0 && toFloat16Bits(scale) < 0x7c00));
    if (lost !== undefined) throw pareError('PARE_SCALE_OVERFLOW', { scale: lost, scaleType: dtype });
  }
  return {
    part: 'scales',
    dtype,
    shape: [groups, rows],
    data() {
      const scales = transposeArray(everyOutput(form.scales, form), rows, groups);
      return dtype === 'float16' ? float32ToFloat16(scales) : encodeScales(scales, dtype, [groups, rows]).data;
    },
  };
}

/** Zero points [G, out], those of symmetric grids spelled out. */
export function groupedZeros(form: QuantizedWeight): Uint8Array {
  const [rows, columns] = form.shape;
  const groups = groupsPerRow(form.scheme, columns);
  if (form.zeros === undefined) return new Uint8Array(groups * rows).fill(symmetricZero(form.scheme.bits));
  return transposeArray(everyOutput(form.zeros, form), rows, groups);
}

/** Values [out, G]; a matrix with one grid has its value for every output. */
function everyOutput<T extends Float32Array | Uint8Array>(values: T, { scheme, shape }: QuantizedWeight): T {
  if (scheme.granularity !== 'tensor') return values;
  return new (values.constructor as new (length: number) => T)(shape[0]).fill(values[0]!) as T;
}
