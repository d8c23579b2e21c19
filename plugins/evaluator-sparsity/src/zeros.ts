import type { HostTensor } from '@pare/core';

/** Elements that are exactly zero, of either sign. */
export function countZeros({ dtype, data }: Pick<HostTensor, 'dtype' | 'data'>): number {
  let zeros = 0;
  if (dtype === 'float16' || dtype === 'bfloat16') {
    // Bits but for the sign.
    for (const bits of data as Uint16Array) if ((bits & 0x7fff) === 0) zeros++;
  } else {
    for (const value of data) if (Number(value) === 0) zeros++;
  }
  return zeros;
}
