import type { QuantizationScheme } from '@pare/core';
import type { PackedScheme } from './compressed-tensors.js';
import { findInput } from './input-activations.js';
import type { PartsReader } from './parts-reader.js';
import { gridShapes } from './packed-weight.js';
import type { StoredWeight } from './stored-weight.js';

/**
 * Finds the parts of a matrix [out, in] whose codes are stored one by one (compressed-tensors' `int-quantized`, `float-quantized`, `naive-quantized`): `weight` [out, in], int8 or
 * `float8_e4m3fn`; `weight_scale` [out, G]; for asymmetric integers `weight_zero_point` int8. Signed integers of b bits become codes from 0: + 2^(b−1).
 *
 * @throws PARE_MODEL_TENSOR_MISSING, PARE_MODEL_TENSOR_SHAPE
 */
export function findPlainWeight(parts: PartsReader, shape: readonly [number, number], found: PackedScheme): StoredWeight {
  const [rows, columns] = shape;
  const { bits, symmetric, granularity, floats } = found;
  const scheme: QuantizationScheme = { bits, symmetric, granularity, groupSize: found.groupSize ?? columns, ...(floats ? { numbers: 'float8-e4m3' } : {}) };
  const grids = gridShapes(scheme, rows, columns);
  parts.require('weight', [floats ? 'uint8' : 'int8'], [[rows, columns]], floats ? 'F8_E4M3' : undefined);
  const scaleType = parts.requireScales('weight_scale', grids);
  if (!symmetric) parts.require('weight_zero_point', ['int8'], grids);
  const readGroupIndex = parts.findGroupIndex(scheme, columns);
  const readInput = findInput(parts, found.input);
  const middle = 2 ** (bits - 1);
  return {
    shape,
    dtype: scaleType,
    input: found.input,
    bytes: parts.bytes,
    async read(signal) {
      const { data } = await parts.read('weight', signal);
      return {
        form: 'quantized',
        shape,
        scheme,
        codes: floats ? (data as Uint8Array) : Uint8Array.from(data as Int8Array, (value) => value + middle),
        scales: await parts.readScales('weight_scale', signal),
        scaleType,
        zeros: symmetric ? undefined : Uint8Array.from((await parts.read('weight_zero_point', signal)).data as Int8Array, (value) => value + middle),
        groupIndex: await readGroupIndex(signal),
        ...(await readInput(signal)),
      };
    },
  };
}
