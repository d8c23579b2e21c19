import { pareError } from '@pare/core';
import type { Report, ResultInput, StoredTensor } from '@pare/report';
import { readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { CommandContext } from '../context.js';

/** The document that compares results: output folders, and JSON documents of `evaluate` and `compress`. @throws PARE_FILE_UNREADABLE, PARE_REPORT_… */
export async function reportOf(context: CommandContext, files: readonly string[], options: { readonly title?: string | undefined } = {}): Promise<Report> {
  const { buildReport } = await import('@pare/report');
  const inputs: ResultInput[] = [];
  for (const file of new Set(files)) inputs.push(...(await readResult(context, file)));
  return buildReport(inputs, options);
}

async function readResult({ cwd, signal }: CommandContext, file: string): Promise<readonly ResultInput[]> {
  const { parseResult, parseResults } = await import('@pare/report');
  const path = resolve(cwd, file);
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw pareError('PARE_FILE_UNREADABLE', { file, reason: error.code === 'ENOENT' ? 'no such file or folder' : error.message }, error);
  });
  if (found.isDirectory()) {
    const input = parseResult(await readJson(join(path, 'pare.json'), file, 'the folder has no pare.json, so Pare did not write it'), file, await storedTensors(path, signal));
    return [{ ...input, location: path }];
  }
  const inputs = parseResults(await readJson(path, file, 'it vanished'), file);
  // A manifest by itself stands for its folder.
  return inputs.map((input) => ({ ...input, location: input.location === file ? resolve(path, '..') : resolve(cwd, input.location) }));
}

async function readJson(path: string, file: string, missing: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw pareError('PARE_REPORT_INPUT_INVALID', { file, problem: missing }, error);
    throw pareError('PARE_FILE_UNREADABLE', { file, reason: error.message }, error);
  });
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw pareError('PARE_REPORT_INPUT_INVALID', { file, problem: `it is no JSON (${(error as Error).message})` }, error);
  }
}

/** Names and bytes of the tensors in a folder's safetensors files, from their headers; undefined for a folder without such files. */
async function storedTensors(directory: string, signal: AbortSignal): Promise<readonly StoredTensor[] | undefined> {
  const { TensorStore } = await import('@pare/model');
  const present = await Promise.all(['model.safetensors', 'model.safetensors.index.json'].map((name) => stat(join(directory, name)).then(() => true, () => false)));
  if (!present.includes(true)) return undefined;
  await using store = await TensorStore.open(directory, signal);
  return store.names.map((name) => ({ name, bytes: store.info(name).byteLength }));
}
