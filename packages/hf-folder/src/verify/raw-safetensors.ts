import type { FileSystem } from '@pare/core';

/* The reading back of what `write.ts` wrote. Nothing here comes from the writer's libraries, so that a mistake cannot cancel itself out. */

/** A tensor as it lies in a file. */
export interface RawTensor {
  readonly file: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Its little-endian bytes. */
  read(): Promise<DataView>;
}

/** A tensor in a header. */
interface RawEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** All tensors of the safetensors files of a folder, by name. */
export async function readRawTensors(fileSystem: FileSystem, directory: string, files: readonly string[]): Promise<Map<string, RawTensor>> {
  const tensors = new Map<string, RawTensor>();
  for (const file of files.filter((name) => name.endsWith('.safetensors'))) {
    const path = `${directory}/${file}`;
    const headerBytes = Number((await slice(fileSystem, path, 0, 8)).getBigUint64(0, true));
    const { __metadata__: _, ...header } = JSON.parse(new TextDecoder().decode(await slice(fileSystem, path, 8, headerBytes))) as Record<string, RawEntry>;
    for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
      tensors.set(name, { file, dtype, shape, read: () => slice(fileSystem, path, 8 + headerBytes + offsets[0], offsets[1] - offsets[0]) });
    }
  }
  return tensors;
}

async function slice(fileSystem: FileSystem, path: string, position: number, length: number): Promise<DataView> {
  await using file = await fileSystem.open(path);
  const bytes = new Uint8Array(length);
  return new DataView(bytes.buffer, 0, await file.read(bytes, position));
}

/** True when two files hold the same. Small files. */
export async function sameBytes(filesA: FileSystem, pathA: string, filesB: FileSystem, pathB: string): Promise<boolean> {
  await using a = await filesA.open(pathA);
  await using b = await filesB.open(pathB);
  if (a.bytes !== b.bytes) return false;
  const [first, second] = [new Uint8Array(a.bytes), new Uint8Array(b.bytes)];
  await a.read(first, 0);
  await b.read(second, 0);
  return first.every((byte, index) => byte === second[index]);
}

/** A JSON file of a folder. */
export async function readJson(fileSystem: FileSystem, directory: string, file: string): Promise<Record<string, unknown>> {
  return JSON.parse(await fileSystem.readText(`${directory}/${file}`)) as Record<string, unknown>;
}

/** Looks up an element of a tensor. */
export type ElementReader = (index: number) => number;

/** Reads the numbers of an array of this type, by the definition of the type. */
export function numbersOf(view: DataView, dtype: string): ElementReader {
  switch (dtype) {
    case 'F64':
      return (index) => view.getFloat64(8 * index, true);
    case 'F32':
      return (index) => view.getFloat32(4 * index, true);
    case 'F16':
      return (index) => half(view.getUint16(2 * index, true));
    case 'BF16': {
      // The upper half of a float32.
      const word = new DataView(new ArrayBuffer(4));
      return (index) => {
        word.setUint16(0, view.getUint16(2 * index, true));
        return word.getFloat32(0);
      };
    }
    case 'I64':
      return (index) => Number(view.getBigInt64(8 * index, true));
    case 'I32':
      return (index) => view.getInt32(4 * index, true);
    case 'U8':
    case 'F8_E4M3':
      // The code itself; what it stands for the scheme says.
      return (index) => view.getUint8(index);
    case 'I8':
      return (index) => view.getInt8(index);
    default:
      throw new RangeError(`no weight is stored as ${dtype}`);
  }
}

/** IEEE 754 binary16: (−1)^s · 2^(e−15) · (1 + f/1024), subnormal 2^−14 · f/1024. */
function half(bits: number): number {
  const sign = bits >= 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -14 : sign * (1 + fraction) * 2 ** (exponent - 15);
}

/** Reads rows of fields of 4 bits, two a byte, the first in the low half; rows are `rowBytes` apart. */
export function nibbleRowsOf(view: DataView, rowBytes: number): (row: number, into: Uint8Array) => void {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  // Both codes of every byte, in the order in which they stand.
  const codes = Uint8Array.from({ length: 512 }, (_, index) => (index % 2 === 0 ? (index >>> 1) & 15 : index >>> 5));
  const pairsOf = new Uint16Array(codes.buffer);
  return (row, into) => {
    const start = row * rowBytes;
    const whole = into.length >>> 1;
    const pairs = new Uint16Array(into.buffer, into.byteOffset, whole);
    for (let index = 0; index < whole; index++) pairs[index] = pairsOf[bytes[start + index]!]!;
    if (into.length % 2 === 1) into[into.length - 1] = bytes[start + whole]! & 15;
  };
}

/**
 * Reads unsigned fields by the bit they begin at, lowest bit first. A little-endian int32 word is four bytes in the order of their worth, so
 * a row of words is one stream of bits, and any field of at most 8 bits lies within two bytes.
 */
export function fieldsOf(view: DataView, bits: number): ElementReader {
  // One byte more than there is, for a field in the last.
  const bytes = new Uint8Array(view.byteLength + 1);
  bytes.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  const mask = 2 ** bits - 1;
  return (bit) => {
    const byte = Math.floor(bit / 8);
    return ((bytes[byte]! | (bytes[byte + 1]! << 8)) >> (bit % 8)) & mask;
  };
}
