import {
  bfloat16ToFloat32,
  elementCount,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  hostTensor,
  pareError,
  type FactorizedWeight,
  type FactorWeight,
  type HostTensor,
  type InputQuantization,
  type QuantizationScheme,
  type QuantizedWeight,
  type SparseWeight,
  type TensorTrainWeight,
  type WeightForm,
} from '@pare/core';
import { inputProblem } from './input-quantization.js';
import { packRows, unpackRows, wordsPerRow } from './pack-rows.js';
import { packedCodes, packedWeight } from './packed-codes.js';
import { groupsPerRow, type ScaleType } from './scheme.js';
import { countPruned } from './sparse/masks.js';
import { parseSparsityPattern, sparsityPatternText } from './sparse/pattern.js';
import { zeroCodes } from './sparse/sparse-weight.js';
import { coresProblem } from './tensor-train/tensor-train-weight.js';

/** A weight as named tensors and string metadata, as a safetensors file holds them. */
export interface SerializedForm {
  readonly tensors: Record<string, HostTensor>;
  readonly metadata: Record<string, string>;
}

/** Version of the layout, written to the metadata. */
const layoutVersion = '1';

/**
 * Takes a weight apart for storage; `deserializeForm` gives back the same bits. Codes are packed (`packRows`), scales are in their storage type. Of a sparse
 * matrix the mask is stored as bits, and kept values only.
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
      return serializeQuantized(form, metadata, { packed: packedCodes(form), shape: [form.shape[0], wordsPerRow(form.shape[1], form.scheme.bits)] });
    case 'sparse':
      return serializeSparse(form, metadata);
    case 'factorized':
      return mergeForms({ tensors: {}, metadata }, [leftPrefix, serializeForm(form.left)], [rightPrefix, serializeForm(form.right)]);
    case 'tensor-train':
      return { tensors: Object.fromEntries(form.cores.map((core, index) => [coreName(index), core])), metadata: { ...metadata, sizes: form.sizes.join('x') } };
  }
}

/** Names of a sparse matrix' values among its parts, and of the factors of a factorized one. */
const valuesPrefix = 'values.';
const leftPrefix = 'left.';
const rightPrefix = 'right.';

/** Name of a tensor train's core among its parts. */
const coreName = (index: number): string => `core.${String(index)}`;

/** A form with the parts of others, whose names get a prefix each. */
function mergeForms(outer: SerializedForm, ...inner: readonly (readonly [prefix: string, form: SerializedForm])[]): SerializedForm {
  const prefixed = <T>(prefix: string, record: Readonly<Record<string, T>>): [string, T][] => Object.entries(record).map(([name, value]) => [`${prefix}${name}`, value]);
  return {
    tensors: { ...outer.tensors, ...Object.fromEntries(inner.flatMap(([prefix, { tensors }]) => prefixed(prefix, tensors))) },
    metadata: { ...outer.metadata, ...Object.fromEntries(inner.flatMap(([prefix, { metadata }]) => prefixed(prefix, metadata))) },
  };
}

/** The entries under a prefix, by their names without it. */
function partsOf<T>(record: Readonly<Record<string, T>>, prefix: string): Record<string, T> {
  return Object.fromEntries(Object.entries(record).flatMap(([name, value]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [])));
}

function serializeSparse({ shape, pattern, mask, values }: SparseWeight, metadata: Record<string, string>): SerializedForm {
  const kept = mask.length - countPruned(mask);
  const inner: Record<string, string> = { layout: layoutVersion, form: values.form, shape: shape.join('x') };
  let parts: SerializedForm;
  if (values.form === 'dense') {
    const { dtype, data } = values.tensor;
    parts = { tensors: { weight: hostTensor(dtype, [kept], gather(data, mask, kept)) }, metadata: inner };
  } else {
    const codes = packRows(gather(values.codes, mask, kept) as Uint8Array, [1, kept], values.scheme.bits);
    parts = serializeQuantized(values, inner, { packed: codes, shape: [1, codes.length] });
  }
  const tensors = { mask: hostTensor('int32', [shape[0], wordsPerRow(shape[1], 1)], packRows(mask, shape, 1)) };
  return mergeForms({ tensors, metadata: { ...metadata, pattern: sparsityPatternText(pattern) } }, [valuesPrefix, parts]);
}

/** The kept entries, in order. */
function gather(data: HostTensor['data'], mask: Uint8Array, kept: number): HostTensor['data'] {
  const result = new (data.constructor as new (length: number) => HostTensor['data'])(kept);
  let target = 0;
  for (let index = 0; index < mask.length; index++) if (mask[index] === 1) result[target++] = data[index]!;
  return result;
}

/** Entries back in their places; the others stay as `into` has them. */
function scatter<T extends HostTensor['data']>(data: HostTensor['data'], mask: Uint8Array, into: T): T {
  let source = 0;
  for (let index = 0; index < mask.length; index++) if (mask[index] === 1) into[index] = data[source++]!;
  return into;
}

function serializeQuantized(form: QuantizedWeight, metadata: Record<string, string>, codes: { readonly packed: Int32Array; readonly shape: readonly number[] }): SerializedForm {
  const { scheme, scaleType, shape, scales, zeros, groupIndex } = form;
  const gridShape = scalesShape(shape, scheme);
  const tensors: Record<string, HostTensor> = {
    codes: hostTensor('int32', codes.shape, codes.packed),
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
      ...(scheme.numbers === undefined ? {} : { numbers: scheme.numbers }),
      ...(form.input === undefined ? {} : { input: JSON.stringify(form.input) }),
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
    case 'sparse':
      return deserializeSparse(tensors, metadata, shape);
    case 'factorized':
      return deserializeFactorized(tensors, metadata, shape);
    case 'tensor-train':
      return deserializeTrains(tensors, metadata, shape);
    default:
      throw invalid(`form "${form}"; known are dense, quantized, sparse, factorized, tensor-train, shared`);
  }
}

function deserializeFactorized(tensors: Readonly<Record<string, HostTensor>>, metadata: Readonly<Record<string, string>>, dimensions: number[]): FactorizedWeight {
  const [rows, columns] = dimensions;
  if (rows === undefined || columns === undefined || dimensions.length !== 2) throw invalid(`shape [${dimensions.join(', ')}] of a factorized matrix`);
  const factor = (prefix: string): FactorWeight => {
    const inner = partsOf(metadata, prefix);
    if (!['dense', 'quantized', 'sparse'].includes(field(inner, 'form'))) throw invalid(`a factor of form "${inner['form']!}" in a factorized matrix`);
    return deserializeForm(partsOf(tensors, prefix), inner) as FactorWeight;
  };
  return { form: 'factorized', shape: [rows, columns], left: factor(leftPrefix), right: factor(rightPrefix) };
}

function deserializeTrains(tensors: Readonly<Record<string, HostTensor>>, metadata: Readonly<Record<string, string>>, dimensions: number[]): TensorTrainWeight {
  const [rows, columns] = dimensions;
  if (rows === undefined || columns === undefined || dimensions.length !== 2) throw invalid(`shape [${dimensions.join(', ')}] of a matrix of tensor trains`);
  const sizes = field(metadata, 'sizes').split('x').map(Number);
  const cores = sizes.map((_, index) => {
    const core = tensors[coreName(index)];
    if (core === undefined) throw invalid(`the tensor "${coreName(index)}" is missing`);
    return core;
  });
  const form: TensorTrainWeight = { form: 'tensor-train', shape: [rows, columns], sizes, cores };
  const problem = coresProblem(form);
  if (problem !== undefined) throw invalid(problem);
  return form;
}

function deserializeSparse(tensors: Readonly<Record<string, HostTensor>>, metadata: Readonly<Record<string, string>>, dimensions: number[]): SparseWeight {
  const [rows, columns] = dimensions;
  if (rows === undefined || columns === undefined || dimensions.length !== 2) throw invalid(`shape [${dimensions.join(', ')}] of a sparse matrix`);
  const shape = [rows, columns] as const;
  const pattern = parseSparsityPattern(field(metadata, 'pattern'));
  if (pattern === undefined) throw invalid(`pattern "${field(metadata, 'pattern')}"`);
  const mask = unpackRows(storage(tensors, 'mask', 'int32', rows * wordsPerRow(columns, 1)) as Int32Array, shape, 1);
  const kept = mask.length - countPruned(mask);
  const parts = partsOf(tensors, valuesPrefix);
  const inner = partsOf(metadata, valuesPrefix);
  const form = field(inner, 'form');
  if (form === 'dense') {
    const { dtype } = parts['weight'] ?? {};
    if (dtype === undefined) throw invalid('the tensor "values.weight" is missing');
    const data = storage(parts, 'weight', dtype, kept);
    const whole = new (data.constructor as new (length: number) => HostTensor['data'])(mask.length);
    return { form: 'sparse', shape, pattern, mask, values: { form, shape, tensor: hostTensor(dtype, shape, scatter(data, mask, whole)) } };
  }
  if (form !== 'quantized') throw invalid(`values of form "${form}" in a sparse matrix`);
  const values = deserializeQuantized(parts, inner, dimensions, (bits) => unpackRows(storage(parts, 'codes', 'int32', wordsPerRow(kept, bits)) as Int32Array, [1, kept], bits));
  const zeroCode = zeroCodes(values);
  const codes = Uint8Array.from({ length: mask.length }, (_, index) => zeroCode(Math.floor(index / columns), index % columns));
  return { form: 'sparse', shape, pattern, mask, values: { ...values, codes: scatter(values.codes, mask, codes) } };
}

/** @param readCodes codes of another layout than one a weight in rows */
function deserializeQuantized(
  tensors: Readonly<Record<string, HostTensor>>,
  metadata: Readonly<Record<string, string>>,
  dimensions: number[],
  readCodes?: (bits: number) => Uint8Array,
): QuantizedWeight {
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
  const numbers = metadata['numbers'];
  if (numbers !== undefined && numbers !== 'float8-e4m3') throw invalid(`codes of ${numbers}`);
  const scheme: QuantizationScheme = { bits, symmetric: field(metadata, 'symmetric') === 'true', granularity, groupSize, ...(numbers === undefined ? {} : { numbers }) };
  const shape = [rows, columns] as const;
  const grids = elementCount(scalesShape(shape, scheme));
  const input = metadata['input'] === undefined ? undefined : readInput(metadata['input']);
  const parts: Omit<QuantizedWeight, 'codes'> = {
    form: 'quantized',
    shape,
    scheme,
    scales: decodeScales(storage(tensors, 'scales', scaleType, grids), scaleType),
    scaleType,
    zeros: scheme.symmetric ? undefined : (storage(tensors, 'zeros', 'uint8', grids) as Uint8Array),
    groupIndex: tensors['groupIndex'] === undefined ? undefined : (storage(tensors, 'groupIndex', 'int32', columns) as Int32Array),
    ...(input === undefined ? {} : { input }),
  };
  if (readCodes !== undefined) return { ...parts, codes: readCodes(bits) };
  return packedWeight(parts, storage(tensors, 'codes', 'int32', rows * wordsPerRow(columns, bits)) as Int32Array);
}

function readInput(text: string): InputQuantization {
  const input = JSON.parse(text) as InputQuantization;
  const problem = inputProblem(input);
  if (problem !== undefined) throw invalid(problem);
  return input;
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
