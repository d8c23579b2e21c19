import { fromBfloat16Bits, fromFloat16Bits, type HostTensor } from '@pare/core';
import { maximumKnownElements, type KnownElements } from '../operators/schema.js';

/** The elements of a small host tensor as ordinary numbers; undefined beyond the size that inference tracks and for packed 4-bit types. */
export function elementsOf(tensor: HostTensor): KnownElements | undefined {
  if (tensor.data.length > maximumKnownElements || tensor.dtype === 'int4' || tensor.dtype === 'uint4') return undefined;
  if (tensor.dtype === 'float16') return Array.from(tensor.data as Uint16Array, fromFloat16Bits);
  if (tensor.dtype === 'bfloat16') return Array.from(tensor.data as Uint16Array, fromBfloat16Bits);
  return Array.from(tensor.data as ArrayLike<number | bigint>, Number);
}
