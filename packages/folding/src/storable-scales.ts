import type { DType } from '@pare/core';
import { denseFloat32, denseWeight } from '@pare/weights';
import type { FoldSource } from './sites.js';

/**
 * Scales close to the given ones by which a norm's weight can be divided without rounding error: s' = (offset + w) / (offset + r), where r is what is stored for the divided weight. In bfloat16
 * rounding changes an input channel by up to 0.4 %; with s' on the other side, it changes nothing. Elements that are zero keep their scale.
 *
 * @param values the stored values of the source's tensor, as float32
 */
export function storableScales(
  { channels, offset }: Extract<FoldSource, { kind: 'vector' }>,
  values: Float32Array,
  dtype: DType,
  scales: Float32Array | Float64Array,
): Float64Array {
  const divided = values.map((value, index) => (channels[index]! < 0 ? value : (offset + value) / scales[channels[index]!]! - offset));
  const stored = denseFloat32(denseWeight(divided, [divided.length], dtype));
  const result = Float64Array.from(scales);
  for (const [index, channel] of channels.entries()) {
    if (channel < 0) continue;
    const scale = (offset + values[index]!) / (offset + stored[index]!);
    // What rounds to nothing, or to twice itself, is no use.
    if (scale > result[channel]! / 2 && scale < 2 * result[channel]!) result[channel] = scale;
  }
  return result;
}
