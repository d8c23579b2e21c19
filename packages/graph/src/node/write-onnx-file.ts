import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isHostInitializer, isPareError, pareError, tensorBytes, type Graph, type Initializer, type LazyTensor } from '@pare/core';
import { encodeParts, maximumMessageBytes, tensorBytesView, type ExternalPlace, type FilePart } from '../onnx/encode.js';
import { isInsideFolder } from '../onnx/tensor-proto.js';
import { isChunked } from '../types/chunked-tensor.js';
import { chunkBytes } from './file-range.js';

export interface ExternalDataOptions {
  /** Name of the data file beside the model. Further files are called `<fileName>_1`, `<fileName>_2`, … */
  readonly fileName: string;
  /** Initializers of at least this many bytes go to the data file. 1024 by default, as ONNX's own tools do. */
  readonly thresholdBytes?: number | undefined;
  /** A new data file is begun where one would become larger than this. Unlimited by default. */
  readonly maximumFileBytes?: number | undefined;
}

export interface WriteOnnxOptions {
  /**
   * `never`: everything in one file, up to protobuf's 2 GiB. `auto` (default): data goes to `<name>_data` when the file would come near that limit.
   * Options: always keep large initializers in data files.
   */
  readonly externalData?: 'never' | 'auto' | ExternalDataOptions | undefined;
}

/** A file that was written. */
export interface WrittenFile {
  readonly path: string;
  readonly bytes: number;
}

/** Tensors from this size begin at a page, so that readers can map them into memory. */
const pageAlignedFrom = 2 ** 20;
const pageBytes = 4096;
const smallAlignment = 16;
/** `auto` leaves a little room below the limit. */
const automaticLimit = maximumMessageBytes - 2 ** 24;

/**
 * Writes a graph as an ONNX file, with its data files. Lazy tensors are fetched one at a time, in chunks where they offer them, so memory does not grow
 * with the model. Files get their names when they are complete; after an error nothing is left.
 * @returns The files written, the model first.
 * @throws PARE_GRAPH_INVALID as `encodeOnnx`, and when a lazy tensor yields another number of bytes than its shape says; PARE_DISK_FULL; PARE_FILE_UNWRITABLE.
 */
export async function writeOnnxFile(graph: Graph, path: string, options: WriteOnnxOptions = {}): Promise<WrittenFile[]> {
  const places = planExternalData(graph, externalOptions(graph, path, options.externalData ?? 'auto'));
  const parts = encodeParts(graph, (name) => places.get(name));
  const files = [...groupByFile(graph, places)].map(([location, tensors]) => ({ path: join(dirname(path), location), pieces: tensors }));
  files.push({ path, pieces: sequence(parts) });
  const written: WrittenFile[] = [];
  try {
    for (const file of files) written.push({ path: file.path, bytes: await writePieces(graph, partial(file.path), file.pieces) });
    for (const file of files) await rename(partial(file.path), file.path);
  } catch (error) {
    for (const file of files) await rm(partial(file.path), { force: true });
    throw writeError(path, error);
  }
  return [written.at(-1)!, ...written.slice(0, -1)];
}

/** Content of a file at an offset. */
interface PlacedPart {
  readonly offset: number;
  readonly part: FilePart;
  readonly name: string;
}

function externalOptions(graph: Graph, path: string, choice: 'never' | 'auto' | ExternalDataOptions): ExternalDataOptions | undefined {
  if (choice === 'never') return undefined;
  if (choice !== 'auto') {
    if (!isInsideFolder(choice.fileName) || choice.fileName.includes('/')) {
      throw pareError('PARE_GRAPH_INVALID', { graph: graph.name, node: 'external data', problem: `its file name is "${choice.fileName}"; a plain name beside the model is needed` });
    }
    return choice;
  }
  let bytes = 0;
  for (const initializer of graph.initializers.values()) bytes += tensorBytes(initializer);
  return bytes > automaticLimit ? { fileName: `${basename(path)}_data` } : undefined;
}

/** File and offset of each tensor that goes to a data file, in order. */
function planExternalData(graph: Graph, options: ExternalDataOptions | undefined): Map<string, ExternalPlace> {
  const places = new Map<string, ExternalPlace>();
  if (options === undefined) return places;
  let file = 0;
  let end = 0;
  for (const [name, initializer] of graph.initializers) {
    const bytes = tensorBytes(initializer);
    if (bytes < (options.thresholdBytes ?? 1024)) continue;
    let offset = align(end, bytes);
    if (options.maximumFileBytes !== undefined && end > 0 && offset + bytes > options.maximumFileBytes) {
      file++;
      offset = 0;
    }
    places.set(name, { location: file === 0 ? options.fileName : `${options.fileName}_${String(file)}`, offset });
    end = offset + bytes;
  }
  return places;
}

function align(offset: number, bytes: number): number {
  const step = bytes >= pageAlignedFrom ? pageBytes : smallAlignment;
  return Math.ceil(offset / step) * step;
}

function groupByFile(graph: Graph, places: ReadonlyMap<string, ExternalPlace>): Map<string, PlacedPart[]> {
  const files = new Map<string, PlacedPart[]>();
  for (const [name, { location, offset }] of places) {
    const list = files.get(location) ?? [];
    files.set(location, list);
    list.push({ name, offset, part: asPart(graph.initializers.get(name)!) });
  }
  return files;
}

function asPart(initializer: Initializer): FilePart {
  return isHostInitializer(initializer) ? tensorBytesView(initializer) : initializer;
}

/** Parts one after the other. */
function sequence(parts: readonly FilePart[]): PlacedPart[] {
  let offset = 0;
  return parts.map((part) => {
    const placed = { offset, part, name: '' };
    offset += part instanceof Uint8Array ? part.byteLength : tensorBytes(part);
    return placed;
  });
}

const partial = (path: string): string => `${path}.partial`;

/** Writes a file and returns its size. Gaps between pieces are zeros. */
async function writePieces(graph: Graph, path: string, pieces: readonly PlacedPart[]): Promise<number> {
  const file = await open(path, 'w');
  try {
    let end = 0;
    for (const { offset, part, name } of pieces) {
      end = part instanceof Uint8Array ? await writeAll(file, part, offset) : await writeLazy(graph, file, part, offset, name);
    }
    return end;
  } finally {
    await file.close();
  }
}

async function writeLazy(graph: Graph, file: FileHandle, tensor: LazyTensor, offset: number, name: string): Promise<number> {
  let end = offset;
  if (isChunked(tensor)) for await (const chunk of tensor.chunks()) end = await writeAll(file, chunk, end);
  else end = await writeAll(file, await tensor.read(), offset);
  if (end - offset !== tensorBytes(tensor)) {
    const label = name === '' ? 'a lazy initializer' : `initializer "${name}"`;
    throw pareError('PARE_GRAPH_INVALID', { graph: graph.name, node: label, problem: `it yielded ${String(end - offset)} bytes, its shape needs ${String(tensorBytes(tensor))}` });
  }
  return end;
}

async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<number> {
  let done = 0;
  while (done < bytes.byteLength) done += (await file.write(bytes, done, Math.min(bytes.byteLength - done, chunkBytes), offset + done)).bytesWritten;
  return offset + done;
}

function writeError(path: string, error: unknown): unknown {
  if (isPareError(error) || !(error instanceof Error && 'code' in error)) return error;
  if (error.code === 'ENOSPC' || error.code === 'EDQUOT') return pareError('PARE_DISK_FULL', { path: dirname(path) }, error);
  return pareError('PARE_FILE_UNWRITABLE', { file: path, reason: error.code === 'ENOENT' ? `there is no folder ${dirname(path)}` : error.message }, error);
}
