import { dtypeBytes, elementCount, pareError, type DType } from '@pare/core';
import { byteTypeOf, dtypeOfSafetensors, safetensorsTypes, type ByteType } from './dtypes.js';
import { findDuplicateKey } from './duplicate-key.js';

/** A tensor of a safetensors file. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: DType;
  /** The header's type where the elements are held as raw bytes (dtype uint8). */
  readonly byteType?: ByteType | undefined;
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** What the header of a safetensors file says, checked. */
export interface SafetensorsHeader {
  /** In the order of their bytes. */
  readonly entries: readonly SafetensorsEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** The format's own limit on the JSON header. */
export const maximumHeaderBytes = 100_000_000;

/** Bytes of the length field before the header. */
export const lengthFieldBytes = 8;

/**
 * The header's length from the first eight bytes of a file.
 *
 * @throws PARE_SAFETENSORS_TRUNCATED, PARE_SAFETENSORS_HEADER_TOO_LARGE, PARE_SAFETENSORS_HEADER_BEYOND_FILE
 */
export function readHeaderLength(file: string, prefix: Uint8Array, fileBytes: number): number {
  if (prefix.length < lengthFieldBytes) throw pareError('PARE_SAFETENSORS_TRUNCATED', { file, found: fileBytes, needed: lengthFieldBytes });
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  if (length > BigInt(maximumHeaderBytes)) {
    throw pareError('PARE_SAFETENSORS_HEADER_TOO_LARGE', { file, found: String(length), allowed: maximumHeaderBytes });
  }
  if (length > BigInt(fileBytes - lengthFieldBytes)) throw pareError('PARE_SAFETENSORS_HEADER_BEYOND_FILE', { file, found: String(length), fileBytes });
  return Number(length);
}

/**
 * Reads and checks a header: types, shapes, offsets without holes or overlaps, and their agreement with the file's size. Nothing of a
 * header that passes can make a reader reach outside the file or see two tensors in the same bytes.
 *
 * @param header The JSON bytes, as long as the length field says.
 * @throws PARE_SAFETENSORS_… for each way in which it can be wrong
 */
export function parseHeader(file: string, header: Uint8Array, fileBytes: number): SafetensorsHeader {
  const fields = parseJson(file, header);
  const dataBegin = lengthFieldBytes + header.length;
  const dataBytes = fileBytes - dataBegin;
  let metadata: Readonly<Record<string, string>> = {};
  const found: Located[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (name === '__metadata__') metadata = parseMetadata(file, value);
    else found.push(parseEntry(file, name, value));
  }
  found.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkLayout(file, found, dataBytes, fileBytes);
  return {
    metadata,
    entries: found.map(({ name, dtype, byteType, shape, begin, end }) => ({ name, dtype, ...(byteType === undefined ? {} : { byteType }), shape, byteOffset: dataBegin + begin, byteLength: end - begin })),
  };
}

interface Located {
  readonly name: string;
  readonly dtype: DType;
  readonly byteType: ByteType | undefined;
  readonly shape: readonly number[];
  /** Offsets from the end of the header. */
  readonly begin: number;
  readonly end: number;
}

function parseJson(file: string, header: Uint8Array): Record<string, unknown> {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header);
    value = JSON.parse(text);
  } catch (cause) {
    throw pareError('PARE_SAFETENSORS_HEADER_NOT_JSON', { file, problem: cause instanceof Error ? cause.message : String(cause) }, cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw pareError('PARE_SAFETENSORS_HEADER_NOT_JSON', { file, problem: `it is ${describeValue(value)}` });
  }
  const key = findDuplicateKey(text);
  if (key !== undefined) throw pareError('PARE_SAFETENSORS_DUPLICATE_KEY', { file, key: JSON.stringify(key) });
  return value as Record<string, unknown>;
}

function parseMetadata(file: string, value: unknown): Readonly<Record<string, string>> {
  const valid = typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every((entry) => typeof entry === 'string');
  if (!valid) throw pareError('PARE_SAFETENSORS_ENTRY_INVALID', { file, tensor: '__metadata__', found: describeValue(value) });
  return value as Record<string, string>;
}

function parseEntry(file: string, name: string, value: unknown): Located {
  const invalid = (): never => {
    throw pareError('PARE_SAFETENSORS_ENTRY_INVALID', { file, tensor: name, found: describeValue(value) });
  };
  if (typeof value !== 'object' || value === null) return invalid();
  const { dtype: type, shape, data_offsets: offsets } = value as { dtype?: unknown; shape?: unknown; data_offsets?: unknown };
  if (typeof type !== 'string') return invalid();
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && (size as number) >= 0)) return invalid();
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every((offset) => typeof offset === 'number')) return invalid();

  const dtype = dtypeOfSafetensors(type);
  if (dtype === undefined) throw pareError('PARE_SAFETENSORS_DTYPE_UNSUPPORTED', { file, tensor: name, found: type, allowed: safetensorsTypes });
  const [begin, end] = offsets as [number, number];
  if (!Number.isSafeInteger(begin) || !Number.isSafeInteger(end) || begin < 0 || end < begin) {
    throw pareError('PARE_SAFETENSORS_OFFSETS_INVALID', { file, tensor: name, found: range(begin, end), allowed: '0 ≤ begin ≤ end, whole numbers' });
  }
  const expected = dtypeBytes(dtype, elementCount(shape as number[]));
  if (end - begin !== expected) {
    throw pareError('PARE_SAFETENSORS_SIZE_MISMATCH', { file, tensor: name, found: end - begin, dtype: type, shape: shape as number[], expected });
  }
  return { name, dtype, byteType: byteTypeOf(type), shape: shape as number[], begin, end };
}

/** Tensors must tile the data section: the first begins at 0, each next one where the last ended, and the file ends with the last. */
function checkLayout(file: string, tensors: readonly Located[], dataBytes: number, fileBytes: number): void {
  let reached = 0;
  let previous = 'the header';
  for (const { name, begin, end } of tensors) {
    if (begin !== reached) {
      if (begin > dataBytes) throw pareError('PARE_SAFETENSORS_OFFSETS_BEYOND_FILE', { file, tensor: name, begin, end, dataBytes });
      const allowed = `begin at ${String(reached)}, where ${previous} ends`;
      throw pareError('PARE_SAFETENSORS_OFFSETS_INVALID', { file, tensor: name, found: range(begin, end), allowed });
    }
    reached = end;
    previous = `"${name}"`;
  }
  if (reached > dataBytes) throw pareError('PARE_SAFETENSORS_TRUNCATED', { file, found: fileBytes, needed: fileBytes - dataBytes + reached });
  if (reached < dataBytes) {
    const last = tensors.at(-1);
    throw pareError('PARE_SAFETENSORS_OFFSETS_INVALID', {
      file,
      tensor: last?.name ?? '(none)',
      found: last === undefined ? 'none' : range(last.begin, last.end),
      allowed: `the last tensor ends at ${String(dataBytes)}, with the file`,
    });
  }
}

function range(begin: unknown, end: unknown): string {
  return `${String(begin)}…${String(end)}`;
}

function describeValue(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
