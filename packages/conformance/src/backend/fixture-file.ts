import { readFileSync } from 'node:fs';
import { elementCount, viewAs, type DType, type HostTensor } from '@pare/core';

/* A safetensors reader just large enough for this package's own fixture files. */

const dtypes: Readonly<Record<string, DType>> = {
  BOOL: 'bool',
  F16: 'float16',
  F32: 'float32',
  F64: 'float64',
  I8: 'int8',
  I32: 'int32',
  I64: 'int64',
  U8: 'uint8',
};

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** Reads tensors of a safetensors file by name. The file is loaded whole; every tensor is a copy. */
export function openFixture(url: URL): (name: string) => HostTensor {
  const file = readFileSync(url);
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as Record<string, Entry>;
  return (name) => {
    const entry = header[name];
    const dtype = entry === undefined ? undefined : dtypes[entry.dtype];
    if (entry === undefined || dtype === undefined) throw new Error(`${url.pathname} has no tensor "${name}" of a known type`);
    const start = 8 + headerBytes + entry.data_offsets[0];
    const bytes = Uint8Array.from(file.subarray(start, 8 + headerBytes + entry.data_offsets[1]));
    return { dtype, shape: entry.shape, data: viewAs(dtype, bytes.buffer, 0, elementCount(entry.shape)) };
  };
}
