import type { QuantizedWeight } from '@pare/core';
import type { StoredPart } from '@pare/hf-folder';
import { encodeScales, groupsPerRow } from '@pare/weights';

/**
 * The tensors of a matrix [out, in] in compressed-tensors' `int-quantized` and `float-quantized` layouts: `weight` [out, in] with one int8 or `float8_e4m3fn` a code,
 * `weight_scale` [out, G], [out, 1] or [1], for asymmetric integers `weight_zero_point` int8 of the same shape. Integers are signed: code − 128. For a static grid of inputs `input_scale` [1], and
 * `input_zero_point` int8 [1] where it has one.
 */
export function plainParts(form: QuantizedWeight): readonly StoredPart[] {
  const [rows, columns] = form.shape;
  const { scheme, codes, scales, scaleType, zeros, input } = form;
  const gridShape = scheme.granularity === 'tensor' ? [1] : [rows, groupsPerRow(scheme, columns)];
  const signed = (values: Uint8Array): Int8Array => Int8Array.from(values, (value) => value - 128);
  const weight: StoredPart =
    scheme.numbers === 'float8-e4m3'
      ? { part: 'weight', dtype: 'uint8', byteType: 'F8_E4M3', shape: form.shape, data: () => codes }
      : { part: 'weight', dtype: 'int8', shape: form.shape, data: () => signed(codes) };
  const parts: StoredPart[] = [weight, { part: 'weight_scale', dtype: scaleType, shape: gridShape, data: () => encodeScales(scales, scaleType, gridShape).data }];
  if (zeros !== undefined) parts.push({ part: 'weight_zero_point', dtype: 'int8', shape: gridShape, data: () => signed(zeros) });
  if (input?.scale !== undefined) {
    const scale = Float32Array.of(input.scale);
    parts.push({ part: 'input_scale', dtype: scaleType, shape: [1], data: () => encodeScales(scale, scaleType, [1]).data });
  }
  if (input?.zero !== undefined) {
    const zero = Int8Array.of(input.zero);
    parts.push({ part: 'input_zero_point', dtype: 'int8', shape: [1], data: () => zero });
  }
  return parts;
}
