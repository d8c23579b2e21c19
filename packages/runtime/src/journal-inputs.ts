import type { FileSystem, Model, Recipe } from '@pare/core';
import { createSha256 } from '@pare/platform';

/** Everything that the results of a run follow from. Two runs with equal inputs give equal bytes. */
export interface JournalInputs {
  readonly recipe: Recipe;
  readonly model: readonly ModelFile[];
  readonly calibration: { readonly text: string; readonly tokens: string; readonly samples: number; readonly sequenceLength: number } | null;
  readonly seed: number;
  readonly backend: string;
  /** `technique gptq` → `@pare/technique-gptq 0.1.0`. */
  readonly plugins: Readonly<Record<string, string>>;
}

/** A file of a model as a glance tells: enough to notice that it was replaced, without reading gigabytes. */
export interface ModelFile {
  readonly path: string;
  readonly bytes: number;
  /** Time of the last change, to the second: many copies and archives keep no more. */
  readonly modified: string;
  /** SHA-256 of a safetensors header or of a small file. */
  readonly head: string;
}

export function sha256(data: string | Uint8Array): string {
  const hash = createSha256();
  hash.update(typeof data === 'string' ? new TextEncoder().encode(data) : data);
  return hash.hex();
}

/** SHA-256 of token windows. */
export function hashWindows(windows: readonly Int32Array[]): string {
  const hash = createSha256();
  for (const window of windows) hash.update(new Uint8Array(window.buffer, window.byteOffset, window.byteLength));
  return hash.hex();
}

/** Names of the files that make up a model: weights, their index and the configuration. */
export async function modelFileNames({ files, directory }: Pick<Model, 'files' | 'directory'>): Promise<string[]> {
  const names = (await files.list(directory)).map(({ name }) => name);
  return names.filter((name) => name === 'config.json' || name.endsWith('.safetensors') || name.endsWith('.safetensors.index.json')).sort();
}

const headBytes = 1 << 20;

export async function describeModelFiles(model: Model): Promise<ModelFile[]> {
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

/** Size and SHA-256 of a whole file, read piece by piece. */
export async function hashFile(files: FileSystem, path: string, signal: AbortSignal): Promise<{ readonly bytes: number; readonly sha256: string }> {
  const hash = createSha256();
  let bytes = 0;
  for await (const piece of files.chunks(path)) {
    signal.throwIfAborted();
    hash.update(piece);
    bytes += piece.length;
  }
  return { bytes, sha256: hash.hex() };
}

/** Where two JSON values differ: `seed was 0, is 1`. At most `limit` places. */
export function differences(before: unknown, now: unknown, path = '', limit = 5): string[] {
  if (Object.is(before, now)) return [];
  if (typeof before === 'object' && typeof now === 'object' && before !== null && now !== null) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
    const found = keys.flatMap((key) =>
      differences(
        (before as Record<string, unknown>)[key],
        (now as Record<string, unknown>)[key],
        Array.isArray(now) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`,
        limit,
      ),
    );
    return found.slice(0, limit);
  }
  const show = (value: unknown): string => {
    if (value === undefined) return 'absent';
    const text = JSON.stringify(value);
    return text.length > 40 ? `${text.slice(0, 37)}…` : text;
  };
  return [`${path} was ${show(before)}, is ${show(now)}`];
}
