import {
  bfloat16ToFloat32,
  elementCount,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  hostTensor,
  pareError,
  type HostTensor,
  type QuantizationScheme,
  type QuantizedWeight,
  type WeightForm,
} from '@pare/core';
import { packRows, unpackRows, wordsPerRow } from './pack-rows.js';
import { groupsPerRow, type ScaleType } from './scheme.js';

/** A weight as named tensors and string metadata, as a safetensors file holds them. */
export interface SerializedForm {
  readonly tensors: Record<string, HostTensor>;
  readonly metadata: Record<string, string>;
}

/** Version of the layout, written to the metadata. */
const layoutVersion = '1';

/**
 * Takes a weight apart for storage; `deserializeForm` gives back the same bits. Codes are packed (`packRows`), scales are in their storage type.
 * @throws PARE_FORM_INVALID when scales are not values of the type they claim.
 */
export function serializeForm(form: WeightForm): SerializedForm {
  const metadata: Record<string, string> = { layout: layoutVersion, form: form.form, shape: form.shape.join('x') };
  switch (form.form) {
    case 'dense':
      return { tensors: { weight: form.tensor }, metadata };
    case 'shared':
      return { tensors: {}, metadata: { ...metadata, with: form.with } };
    case 'quantized':
      return serializeQuantized(form, metadata);
  }
}

function serializeQuantized(form: QuantizedWeight, metadata: Record<string, string>): SerializedForm {
  const { scheme, scaleType, shape, scales, zeros, groupIndex } = form;
  const gridShape = scalesShape(shape, scheme);
  const tensors: Record<string, HostTensor> = {
    codes: hostTensor('int32', [shape[0], wordsPerRow(shape[1], scheme.bits)], packRows(form.codes, shape, scheme.bits)),
    scales: encodeScales(scales, scaleType, gridShape),
  };
  if (zeros !== undefined) tensors['zeros'] = hostTensor('uint8', gridShape, zeros);
  if (groupIndex !== undefined) tensors['groupIndex'] = hostTensor('int32', [shape[1]], groupIndex);
  return {
    tensors,
    metadata: {
      ...metadata,
      bits: String(scheme.bits),
      symmetric: String(scheme.symmetric),
      granularity: scheme.granularity,
      groupSize: String(scheme.groupSize),
      scaleType,
    },
  };
}

/**
 * Puts a weight together again.
 * @throws PARE_FORM_INVALID naming what is missing or does not fit.
 */
export function deserializeForm(tensors: Readonly<Record<string, HostTensor>>, metadata: Readonly<Record<string, string>>): WeightForm {
  const layout = field(metadata, 'layout');
  if (layout !== layoutVersion) throw invalid(`layout ${layout}, this version reads layout ${layoutVersion}`);
  const shape = field(metadata, 'shape').split('x').filter((part) => part !== '').map(Number);
  if (shape.some((size) => !Number.isInteger(size) || size < 0)) throw invalid(`shape "${field(metadata, 'shape')}"`);
  const form = field(metadata, 'form');
  switch (form) {
    case 'dense': {
      const tensor = tensors['weight'];
      if (tensor === undefined) throw invalid('the tensor "weight" is missing');
      return { form, shape, tensor };
    }
    case 'shared':
      return { form, shape, with: field(metadata, 'with') };
    case 'quantized':
      return deserializeQuantized(tensors, metadata, shape);
    default:
      throw invalid(`form "${form}"; known are dense, quantized, shared`);
  }
}

function deserializeQuantized(tensors: Readonly<Record<string, HostTensor>>, metadata: Readonly<Record<string, string>>, dimensions: number[]): QuantizedWeight {
  const [rows, columns] = dimensions;
  if (rows === undefined || columns === undefined || dimensions.length !== 2) throw invalid(`shape [${dimensions.join(', ')}] of a quantized matrix`);
  const granularity = field(metadata, 'granularity');
  if (granularity !== 'tensor' && granularity !== 'channel' && granularity !== 'group') throw invalid(`granularity "${granularity}"`);
  const scaleType = field(metadata, 'scaleType');
  if (scaleType !== 'float32' && scaleType !== 'float16' && scaleType !== 'bfloat16') throw invalid(`scale type "${scaleType}"`);
  const bits = Number(field(metadata, 'bits'));
  if (!Number.isInteger(bits) || bits < 2 || bits > 8) throw invalid(`${String(bits)} bits`);
  const groupSize = Number(field(metadata, 'groupSize'));
  if (!Number.isInteger(groupSize) || groupSize < 1) throw invalid(`group size ${String(groupSize)}`);
  const scheme: QuantizationScheme = { bits, symmetric: field(metadata, 'symmetric') === 'true', granularity, groupSize };
  const shape = [rows, columns] as const;
  const grids = elementCount(scalesShape(shape, scheme));
  const words = storage(tensors, 'codes', 'int32', rows * wordsPerRow(columns, bits)) as Int32Array;
  return {
    form: 'quantized',
    shape,
    scheme,
    codes: unpackRows(words, shape, bits),
    scales: decodeScales(storage(tensors, 'scales', scaleType, grids), scaleType),
    scaleType,
    zeros: scheme.symmetric ? undefined : (storage(tensors, 'zeros', 'uint8', grids) as Uint8Array),
    groupIndex: tensors['groupIndex'] === undefined ? undefined : (storage(tensors, 'groupIndex', 'int32', columns) as Int32Array),
  };
}

function scalesShape(shape: readonly [number, number], scheme: QuantizationScheme): number[] {
  return scheme.granularity === 'tensor' ? [1] : [shape[0], groupsPerRow(scheme, shape[1])];
}

/**
 * Scales in their storage type.
 * @throws PARE_FORM_INVALID when they are not values of it.
 */
export function encodeScales(scales: Float32Array, type: ScaleType, shape: readonly number[]): HostTensor {
  if (type === 'float32') return hostTensor(type, shape, scales);
  const bits = type === 'float16' ? float32ToFloat16(scales) : float32ToBfloat16(scales);
  const stored = decodeScales(bits, type);
  const lost = scales.findIndex((scale, index) => !Object.is(scale, stored[index]));
  if (lost !== -1) throw invalid(`scale ${String(lost)} is ${String(scales[lost])}, which is no ${type} value`);
  return hostTensor(type, shape, bits);
}

function decodeScales(data: HostTensor['data'], type: ScaleType): Float32Array {
  if (type === 'float32') return data as Float32Array;
  return type === 'float16' ? float16ToFloat32(data as Uint16Array) : bfloat16ToFloat32(data as Uint16Array);
}

function field(metadata: Readonly<Record<string, string>>, name: string): string {
  const value = metadata[name];
  if (value === undefined) throw invalid(`the field "${name}" is missing`);
  return value;
}

function storage(tensors: Readonly<Record<string, HostTensor>>, name: string, dtype: HostTensor['dtype'], count: number): HostTensor['data'] {
  const tensor = tensors[name];
  if (tensor === undefined) throw invalid(`the tensor "${name}" is missing`);
  if (tensor.dtype !== dtype || tensor.data.length !== count) {
    throw invalid(`the tensor "${name}" is ${tensor.dtype} with ${String(tensor.data.length)} elements, not ${dtype} with ${String(count)}`);
  }
  return tensor.data;
}

function invalid(problem: string): Error {
  return pareError('PARE_FORM_INVALID', { problem });
}
