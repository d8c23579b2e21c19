import type { Model, Recipe } from '@pare/core';
import { createHash } from 'node:crypto';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

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
  return createHash('sha256').update(data).digest('hex');
}

/** SHA-256 of token windows. */
export function hashWindows(windows: readonly Int32Array[]): string {
  const hash = createHash('sha256');
  for (const window of windows) hash.update(new Uint8Array(window.buffer, window.byteOffset, window.byteLength));
  return hash.digest('hex');
}

/** Names of the files that make up a model: weights, their index and the configuration. */
export async function modelFileNames(directory: string): Promise<string[]> {
  const names = await readdir(directory);
  return names.filter((name) => name === 'config.json' || name.endsWith('.safetensors') || name.endsWith('.safetensors.index.json')).sort();
}

const headBytes = 1 << 20;

export async function describeModelFiles(model: Model): Promise<ModelFile[]> {
  const names = await modelFileNames(model.directory);
  return Promise.all(
    names.map(async (path) => {
      const file = join(model.directory, path);
      const { size, mtimeMs } = await stat(file);
      return { path, bytes: size, modified: new Date(1000 * Math.floor(mtimeMs / 1000)).toISOString(), head: await hashHead(file, size) };
    }),
  );
}

/** A safetensors header (its length stands in the first eight bytes), as much of it as fits a megabyte; or the start of any other file. */
async function hashHead(file: string, size: number): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const buffer = new Uint8Array(Math.min(size, headBytes));
    await handle.read(buffer, 0, buffer.length, 0);
    if (!file.endsWith('.safetensors') || size < 8) return sha256(buffer);
    const header = Number(new DataView(buffer.buffer).getBigUint64(0, true));
    return sha256(buffer.subarray(0, Math.min(buffer.length, 8 + header)));
  } finally {
    await handle.close();
  }
}

/** Size and SHA-256 of a whole file, read piece by piece. */
export async function hashFile(file: string, signal: AbortSignal): Promise<{ readonly bytes: number; readonly sha256: string }> {
  const hash = createHash('sha256');
  const handle = await open(file, 'r');
  try {
    const buffer = new Uint8Array(1 << 20);
    for (let bytes = 0; ; ) {
      signal.throwIfAborted();
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) return { bytes, sha256: hash.digest('hex') };
      hash.update(buffer.subarray(0, bytesRead));
      bytes += bytesRead;
    }
  } finally {
    await handle.close();
  }
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
