import { dtypeBits, prefetch, tensorBytes, throwIfAborted, type DType, type FileSystem, type HostTensor, type WritableFile } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { diskError, requireDiskSpace } from './disk.js';
import { safetensorsOfDtype, type ByteType } from './dtypes.js';
import { lengthFieldBytes, maximumHeaderBytes } from './header.js';

/** A tensor to write: its place in the file follows from type and shape, its bytes are asked for when their turn comes. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: DType;
  /** What the header calls the elements where their raw bytes are given (dtype uint8). */
  readonly byteType?: ByteType | undefined;
  readonly shape: readonly number[];
  /** Little-endian, row-major, exactly the tensor's size. Called once. */
  read(): Promise<Uint8Array | HostTensor>;
}

export interface WriteOptions {
  readonly signal?: AbortSignal | undefined;
  /** Where to write; the system's own files by default. */
  readonly files?: FileSystem | undefined;
  /** After each tensor: bytes of tensors written so far, of how many. */
  readonly onProgress?: ((state: { readonly bytes: number; readonly totalBytes: number; readonly tensor: string }) => void) | undefined;
}

export interface WrittenTensorFile {
  readonly path: string;
  readonly bytes: number;
}

/** transformers refuses files that do not say which framework they are for. */
export const defaultMetadata: Readonly<Record<string, string>> = { format: 'pt' };

/** An entry for a tensor in memory. */
export function tensorEntry(name: string, tensor: HostTensor): TensorEntry {
  return { name, dtype: tensor.dtype, shape: tensor.shape, read: () => Promise.resolve(tensor) };
}

/** The bytes of a tensor's storage. */
export function bytesOf(tensor: HostTensor): Uint8Array {
  return new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
}

/**
 * Writes a safetensors file to exactly this path. Only names, types and shapes are gathered first; tensors are read and written one after
 * another in the order given, the next one read while one is written, so memory stays two tensors. A file that could not be finished is left for the caller, who writes into a
 * temporary folder.
 *
 * @throws PARE_DISK_FULL, before the first byte where the file system tells its free space
 */
export async function writeSafetensors(
  path: string,
  entries: Iterable<TensorEntry>,
  metadata: Readonly<Record<string, string>> = defaultMetadata,
  options: WriteOptions = {},
): Promise<WrittenTensorFile> {
  const { files = defaultFiles } = options;
  const layout = layOut([...entries], metadata);
  await requireDiskSpace(files.path.dirname(path), layout.fileBytes, files);
  try {
    await using file = await files.create(path);
    await writeLayout(file, layout, options);
    // Space that was promised but not yet taken shows up here, not after the report.
    await file.flush();
  } catch (error) {
    throw diskError(path, layout.fileBytes, error);
  }
  return { path, bytes: layout.fileBytes };
}

/** Where everything of a file goes. */
export interface FileLayout {
  /** Length field and JSON header. */
  readonly prefix: Uint8Array;
  /** In the order given, with the position of each in the file. */
  readonly tensors: readonly { readonly entry: TensorEntry; readonly position: number; readonly bytes: number }[];
  readonly fileBytes: number;
}

/**
 * Lays a file out as the reference library does: tensors of wider elements first, then by name, so that every tensor is aligned to its
 * element size; the header is padded with spaces to eight bytes.
 *
 * @throws RangeError for a name given twice, or a type that safetensors lacks
 */
export function layOut(entries: readonly TensorEntry[], metadata: Readonly<Record<string, string>>): FileLayout {
  const sorted = [...entries].sort((a, b) => dtypeBits(b.dtype) - dtypeBits(a.dtype) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const header = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) header.set('__metadata__', Object.fromEntries(Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1))));
  const begins = new Map<TensorEntry, number>();
  let reached = 0;
  for (const entry of sorted) {
    if (entry.name === '__metadata__' || header.has(entry.name)) throw new RangeError(`tensor "${entry.name}" is given twice`);
    const end = reached + tensorBytes(entry);
    header.set(entry.name, { dtype: entry.byteType ?? safetensorsOfDtype(entry.dtype), shape: entry.shape, data_offsets: [reached, end] });
    begins.set(entry, reached);
    reached = end;
  }

  // Entry by entry: an object literal would reorder names that look like numbers, and would lose one called "__proto__".
  const json = new TextEncoder().encode(`{${[...header].map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`);
  const headerBytes = Math.ceil(json.length / 8) * 8;
  if (headerBytes > maximumHeaderBytes) throw new RangeError(`a header of ${String(headerBytes)} bytes; safetensors allows ${String(maximumHeaderBytes)}`);
  const prefix = new Uint8Array(lengthFieldBytes + headerBytes).fill(0x20);
  new DataView(prefix.buffer).setBigUint64(0, BigInt(headerBytes), true);
  prefix.set(json, lengthFieldBytes);
  return {
    prefix,
    tensors: entries.map((entry) => ({ entry, position: prefix.length + begins.get(entry)!, bytes: tensorBytes(entry) })),
    fileBytes: prefix.length + reached,
  };
}

/** Writes a layout's bytes, each tensor at its position. The next one is read meanwhile. */
export async function writeLayout(file: Pick<WritableFile, 'write'>, layout: FileLayout, options: WriteOptions = {}): Promise<void> {
  await file.write(layout.prefix, 0);
  const totalBytes = layout.fileBytes - layout.prefix.length;
  let written = 0;
  const contents = prefetch(layout.tensors, ({ entry }) => entry.read());
  for (const { entry, position, bytes } of layout.tensors) {
    throwIfAborted(options.signal, 'writing weights');
    const content = await contents.next();
    const data = content instanceof Uint8Array ? content : bytesOf(content);
    if (data.length !== bytes) {
      throw new RangeError(`"${entry.name}" gave ${String(data.length)} bytes; ${entry.dtype} [${entry.shape.join(', ')}] takes ${String(bytes)}`);
    }
    await file.write(data, position);
    written += bytes;
    options.onProgress?.({ bytes: written, totalBytes, tensor: entry.name });
  }
}
