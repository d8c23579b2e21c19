import type { FileSystem, Model } from '@pare/core';
import { sha256 } from '@pare/platform';

/** A file of a model as a glance tells: enough to notice that it was replaced, without reading gigabytes. */
export interface ModelFile {
  readonly path: string;
  readonly bytes: number;
  /** Time of the last change, to the second: many copies and archives keep no more. */
  readonly modified: string;
  /** SHA-256 of a safetensors header or of a small file. */
  readonly head: string;
}

/** Names of the files that make up a model: weights, their index and the configuration. */
export async function modelFileNames({ files, directory }: Pick<Model, 'files' | 'directory'>): Promise<string[]> {
  const names = (await files.list(directory)).map(({ name }) => name);
  return names.filter((name) => name === 'config.json' || name.endsWith('.safetensors') || name.endsWith('.safetensors.index.json')).sort();
}

const headBytes = 1 << 20;

/** A model's files as a glance tells. */
export async function describeModelFiles(model: Pick<Model, 'files' | 'directory'>): Promise<ModelFile[]> {
  const names = await modelFileNames(model);
  return Promise.all(
    names.map(async (path) => {
      const { files } = model;
      const file = files.path.join(model.directory, path);
      const status = await files.status(file);
      return { path, bytes: status!.bytes, modified: new Date(1000 * Math.floor(status!.modified / 1000)).toISOString(), head: await hashHead(files, file) };
    }),
  );
}

/** A safetensors header (its length stands in the first eight bytes), as much of it as fits a megabyte; or the start of any other file. */
async function hashHead(files: FileSystem, path: string): Promise<string> {
  await using file = await files.open(path);
  const buffer = new Uint8Array(Math.min(file.bytes, headBytes));
  await file.read(buffer, 0);
  if (!path.endsWith('.safetensors') || file.bytes < 8) return sha256(buffer);
  const header = Number(new DataView(buffer.buffer).getBigUint64(0, true));
  return sha256(buffer.subarray(0, Math.min(buffer.length, 8 + header)));
}
