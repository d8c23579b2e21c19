import { dtypeBytes, elementCount, pareError, type DType, type HostTensor, type QuantizationScheme, type QuantizedWeight } from '@pare/core';
import { denseFloat32, transposeArray, unpackRows, wordsPerRow } from '@pare/weights';
import { requireFinite } from '../store/finite.js';
import type { TensorStore } from '../store/tensor-store.js';
import type { PackedScheme } from './compressed-tensors.js';
import type { StoredName } from './names.js';

/** The stored parts of one pack-quantized matrix, checked against each other. */
export interface PackedWeight {
  readonly shape: readonly [number, number];
  readonly scheme: QuantizationScheme;
  readonly scaleType: QuantizedWeight['scaleType'];
  /** Bytes of all parts. */
  readonly bytes: number;
  /** Reads the parts. @throws PARE_WEIGHT_NOT_FINITE, PARE_MODEL_TENSOR_SHAPE */
  read(signal?: AbortSignal): Promise<QuantizedWeight>;
}

/** Suffix of the tensor that marks a pack-quantized matrix. */
export const packedSuffix = '.weight_packed';

const scaleTypes: readonly DType[] = ['float32', 'float16', 'bfloat16'];

/**
 * Finds the parts of a pack-quantized matrix [out, in] (compressed-tensors `compressors/pack_quantized`) and checks their types and shapes:
 * `weight_packed` int32 [out, ceil(in·bits/32)], `weight_scale` [out, G] in a float type, `weight_shape` [2], for asymmetric schemes
 * `weight_zero_point` int32 [ceil(out·bits/32), G] packed along the rows (or int8 as older writers left it), and for columns grouped
 * by activation order `weight_g_idx` int32 [in].
 *
 * @throws PARE_MODEL_TENSOR_MISSING, PARE_MODEL_TENSOR_SHAPE
 */
export function findPackedWeight(store: TensorStore, stored: StoredName, module: string, shape: readonly [number, number], found: PackedScheme): PackedWeight {
  const [rows, columns] = shape;
  const { bits, symmetric, granularity } = found;
  const scheme: QuantizationScheme = { bits, symmetric, granularity, groupSize: found.groupSize ?? columns };
  const groups = granularity === 'group' ? Math.ceil(columns / scheme.groupSize) : 1;
  const parts = new PartsReader(store, stored, module);

  parts.require('weight_packed', ['int32'], [[rows, wordsPerRow(columns, bits)]]);
  parts.require('weight_shape', ['int64', 'int32'], [[2]]);
  const gridShapes = granularity === 'tensor' ? [[1], [], [1, 1]] : granularity === 'channel' ? [[rows, 1], [rows]] : [[rows, groups]];
  const scaleType = parts.require('weight_scale', scaleTypes, gridShapes) as QuantizedWeight['scaleType'];
  if (!symmetric) {
    const packed = granularity !== 'tensor' && parts.dtype('weight_zero_point') !== 'int8';
    if (packed) parts.require('weight_zero_point', ['int32'], [[wordsPerRow(rows, bits), groups]]);
    else parts.require('weight_zero_point', ['int8'], gridShapes);
  }
  const hasGroupIndex = granularity === 'group' && parts.has('weight_g_idx');
  if (hasGroupIndex) parts.require('weight_g_idx', ['int32', 'int64'], [[columns]]);

  return {
    shape,
    scheme,
    scaleType,
    bytes: parts.bytes,
    async read(signal) {
      const storedShape = [...(await parts.read('weight_shape', signal)).data].map(Number);
      if (storedShape[0] !== rows || storedShape[1] !== columns) throw parts.mismatch('weight_shape', `[${storedShape.join(', ')}]`, `[${shape.join(', ')}]`);
      const codes = unpackRows((await parts.read('weight_packed', signal)).data as Int32Array, [rows, columns], bits);
      const scaleTensor = await parts.read('weight_scale', signal);
      requireFinite(parts.name('weight_scale'), scaleTensor);
      const scales = denseFloat32({ form: 'dense', shape: scaleTensor.shape, tensor: scaleTensor });
      const zeros = symmetric ? undefined : readZeros(await parts.read('weight_zero_point', signal), rows, groups, bits);
      const groupIndex = hasGroupIndex ? readGroupIndex(parts, await parts.read('weight_g_idx', signal), groups) : undefined;
      return { form: 'quantized', shape, scheme, codes, scales, scaleType, zeros, groupIndex };
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

function readGroupIndex(parts: PartsReader, tensor: HostTensor, groups: number): Int32Array {
  const index = Int32Array.from(tensor.data as Int32Array, Number);
  const bad = index.find((group) => group < 0 || group >= groups);
  if (bad !== undefined) throw parts.mismatch('weight_g_idx', `an index with group ${String(bad)}`, `an index into ${String(groups)} groups`);
  return index;
}

/** The tensors `<module>.<part>`. */
class PartsReader {
  readonly #store: TensorStore;
  readonly #stored: StoredName;
  readonly #module: string;
  bytes = 0;

  constructor(store: TensorStore, stored: StoredName, module: string) {
    this.#store = store;
    this.#stored = stored;
    this.#module = module;
  }

  name(part: string): string {
    return this.#stored(`${this.#module}.${part}`);
  }

  has(part: string): boolean {
    return this.#store.has(this.name(part));
  }

  dtype(part: string): DType | undefined {
    return this.has(part) ? this.#store.info(this.name(part)).dtype : undefined;
  }

  /** Checks a part's type and shape, counts its bytes and returns its type. */
  require(part: string, dtypes: readonly DType[], shapes: readonly (readonly number[])[]): DType {
    const name = this.name(part);
    const expected = `${dtypes.join(' or ')} ${shapes.map((shape) => `[${shape.join(', ')}]`).join(' or ')}`;
    if (!this.#store.has(name)) throw pareError('PARE_MODEL_TENSOR_MISSING', { file: this.#store.directory, tensor: name, expected });
    const { dtype, shape } = this.#store.info(name);
    const fits = dtypes.includes(dtype) && shapes.some((allowed) => allowed.length === shape.length && allowed.every((size, axis) => size === shape[axis]));
    if (!fits) throw this.mismatch(part, `${dtype} [${shape.join(', ')}]`, expected);
    this.bytes += dtypeBytes(dtype, elementCount(shape));
    return dtype;
  }

  read(part: string, signal: AbortSignal | undefined): Promise<HostTensor> {
    return this.#store.read(this.name(part), signal);
  }

  mismatch(part: string, found: string, expected: string): Error {
    const tensor = this.name(part);
    return pareError('PARE_MODEL_TENSOR_SHAPE', { file: this.#store.fileOf(tensor), tensor, found, expected });
  }
}
