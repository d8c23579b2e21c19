import type { HostTensor, QuantizationScheme } from '@pare/core';
import { packedWeight, transposeArray, unpackRows, wordsPerRow } from '@pare/weights';
import type { PackedScheme } from './compressed-tensors.js';
import { findInput } from './input-activations.js';
import type { PartsReader } from './parts-reader.js';
import type { StoredWeight } from './stored-weight.js';

/**
 * Finds the parts of a pack-quantized matrix [out, in] (compressed-tensors `compressors/pack_quantized`) and checks their types and shapes:
 * `weight_packed` int32 [out, ceil(in·bits/32)], `weight_scale` [out, G] in a float type, `weight_shape` [2], for asymmetric schemes
 * `weight_zero_point` int32 [ceil(out·bits/32), G] packed along the rows (or int8 as older writers left it), and for columns grouped
 * by activation order `weight_g_idx` int32 [in].
 *
 * @throws PARE_MODEL_TENSOR_MISSING, PARE_MODEL_TENSOR_SHAPE
 */
export function findPackedWeight(parts: PartsReader, shape: readonly [number, number], found: PackedScheme): StoredWeight {
  const [rows, columns] = shape;
  const { bits, symmetric, granularity } = found;
  const scheme: QuantizationScheme = { bits, symmetric, granularity, groupSize: found.groupSize ?? columns };
  const groups = granularity === 'group' ? Math.ceil(columns / scheme.groupSize) : 1;

  parts.require('weight_packed', ['int32'], [[rows, wordsPerRow(columns, bits)]]);
  parts.require('weight_shape', ['int64', 'int32'], [[2]]);
  const grids = gridShapes(scheme, rows, columns);
  const scaleType = parts.requireScales('weight_scale', grids);
  if (!symmetric) {
    const packed = granularity !== 'tensor' && parts.dtype('weight_zero_point') !== 'int8';
    if (packed) parts.require('weight_zero_point', ['int32'], [[wordsPerRow(rows, bits), groups]]);
    else parts.require('weight_zero_point', ['int8'], grids);
  }
  const readGroupIndex = parts.findGroupIndex(scheme, columns);
  const readInput = findInput(parts, found.input);

  return {
    shape,
    dtype: scaleType,
    input: found.input,
    bytes: parts.bytes,
    async read(signal) {
      const storedShape = [...(await parts.read('weight_shape', signal)).data].map(Number);
      if (storedShape[0] !== rows || storedShape[1] !== columns) throw parts.mismatch('weight_shape', `[${storedShape.join(', ')}]`, `[${shape.join(', ')}]`);
      const words = (await parts.read('weight_packed', signal)).data as Int32Array;
      const scales = await parts.readScales('weight_scale', signal);
      const zeros = symmetric ? undefined : readZeros(await parts.read('weight_zero_point', signal), rows, groups, bits);
      const groupIndex = await readGroupIndex(signal);
      return packedWeight({ form: 'quantized', shape, scheme, scales, scaleType, zeros, groupIndex, ...(await readInput(signal)) }, words);
    },
  };
}

/** Zero points [rows, groups] as codes: fields packed along the rows hold them so already, int8 values are shifted by 2^(bits−1) like the weights. */
function readZeros(tensor: HostTensor, rows: number, groups: number, bits: number): Uint8Array {
  if (tensor.dtype === 'int8') return Uint8Array.from(tensor.data as Int8Array, (value) => value + 2 ** (bits - 1));
  // Words lie [words, groups]; turned over they are the packed rows of zeros [groups, rows].
  const words = transposeArray(tensor.data as Int32Array, wordsPerRow(rows, bits), groups);
  return transposeArray(unpackRows(words, [groups, rows], bits), groups, rows);
}

/** Shapes that the scales of a scheme may have. */
export function gridShapes({ granularity, groupSize }: QuantizationScheme, rows: number, columns: number): readonly (readonly number[])[] {
  if (granularity === 'tensor') return [[1], [], [1, 1]];
  return granularity === 'channel' ? [[rows, 1], [rows]] : [[rows, Math.ceil(columns / groupSize)]];
}
