import { pareError } from '@pare/core';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dtypeNames, suffixes, type DtypeName, type LatencyOptions } from './options.js';

/** An ONNX decoder of a folder. */
export interface OnnxFile {
  readonly path: string;
  readonly dtype: DtypeName;
}

/** The file to measure. @throws PARE_ONNX_MISSING */
export async function findFile(directory: string, dtype: LatencyOptions['dtype']): Promise<OnnxFile> {
  const files = await readdir(join(directory, 'onnx')).catch((): string[] => []);
  const present = dtypeNames.filter((name) => files.includes(fileName(name)));
  const stated = await statedDefault(directory);
  const preferred = present.find((name) => name === stated) ?? (present.length === 1 ? present[0] : present.find((name) => name === 'fp32'));
  const chosen = dtype === 'auto' ? (preferred ?? present[0]) : present.find((name) => name === dtype);
  if (chosen === undefined) {
    const wanted = dtype === 'auto' ? 'ONNX decoder (onnx/model*.onnx)' : `onnx/${fileName(dtype)}`;
    throw pareError('PARE_ONNX_MISSING', { directory, wanted, found: present.map((name) => `onnx/${fileName(name)}`) });
  }
  return { path: join(directory, 'onnx', fileName(chosen)), dtype: chosen };
}

function fileName(dtype: DtypeName): string {
  return `model${suffixes[dtype]}.onnx`;
}

/** What `config.json` says transformers.js loads by default. */
async function statedDefault(directory: string): Promise<unknown> {
  try {
    const config = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')) as { 'transformers.js_config'?: { dtype?: unknown } | null } | null;
    return config?.['transformers.js_config']?.dtype;
  } catch {
    return undefined;
  }
}
