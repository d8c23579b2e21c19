import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pareError, readInitializer, tensorBytes, type Graph, type Initializer } from '@pare/core';
import { decodeModel } from '../onnx/decode.js';
import { fileRange, fileVersion, unreadable, withFile, type FileVersion } from './file-range.js';
import { scanModel } from './scan.js';

export interface ReadOnnxOptions {
  /** Initializers of at least this many bytes stay in the file and are read when asked for. 1 MiB by default. */
  readonly lazyBytes?: number | undefined;
}

/**
 * Reads an ONNX file. Large initializers, inside the file or in its external data, become lazy tensors over a range of the file they are in; they can be
 * read as long as that file stays where it is. Symbolic links are followed, `..` in a data location is refused.
 * @throws PARE_FILE_UNREADABLE for missing, truncated or foreign files, PARE_GRAPH_INVALID as `decodeOnnx`.
 */
export async function readOnnxFile(path: string, options: ReadOnnxOptions = {}): Promise<Graph> {
  const threshold = Math.max(1, options.lazyBytes ?? 2 ** 20);
  const version = await regularFile(path);
  const { message, raw } = await withFile(path, (file) => scanModel(file, path, version.size, threshold));
  const leftOut = new Map([...raw].map(([index, { offset, length }]) => [index, { length, ...fileRange(path, offset, length, () => version) }]));
  const dataFiles = new Map<string, { end: number; version: FileVersion | undefined }>();
  const graph = decodeModel(
    message,
    {
      file: path,
      external: (location, offset, length) => {
        const data = join(dirname(path), location);
        const known = dataFiles.get(data) ?? { end: 0, version: undefined };
        dataFiles.set(data, known);
        known.end = Math.max(known.end, offset + length);
        return fileRange(data, offset, length, () => known.version);
      },
    },
    leftOut,
  );
  for (const [data, known] of dataFiles) {
    known.version = await regularFile(data);
    if (known.version.size < known.end) {
      throw pareError('PARE_FILE_UNREADABLE', { file: data, reason: `it has ${String(known.version.size)} bytes, the model needs ${String(known.end)}` });
    }
  }
  const initializers = new Map<string, Initializer>();
  for (const [name, initializer] of graph.initializers) initializers.set(name, await resident(initializer, threshold));
  return { ...graph, initializers };
}

/** Loads small external tensors, so that shapes and scalars among them are known to inference. */
async function resident(initializer: Initializer, threshold: number): Promise<Initializer> {
  return tensorBytes(initializer) >= threshold ? initializer : readInitializer(initializer);
}

async function regularFile(path: string): Promise<FileVersion> {
  const info = await stat(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  // Folders open for reading but cannot be read, and reading a device may never end.
  if (!info.isFile()) throw pareError('PARE_FILE_UNREADABLE', { file: path, reason: info.isDirectory() ? 'it is a folder' : 'it is not a regular file' });
  return fileVersion(path);
}
