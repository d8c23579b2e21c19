import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Suffix of `onnx/model<suffix>.onnx` by the name that transformers.js gives a variant (`utils/dtypes.js`). */
export const dtypeSuffixes = { fp32: '', fp16: '_fp16', q8: '_quantized', int8: '_int8', uint8: '_uint8', q4: '_q4', q4f16: '_q4f16', bnb4: '_bnb4', q2: '_q2', q2f16: '_q2f16' } as const;

export type DtypeName = keyof typeof dtypeSuffixes;

export const dtypeNames = Object.keys(dtypeSuffixes) as [DtypeName, ...DtypeName[]];

/** An ONNX decoder of a folder. */
export interface OnnxFile {
  readonly path: string;
  readonly dtype: DtypeName;
}

export function onnxFileName(dtype: DtypeName): string {
  return `model${dtypeSuffixes[dtype]}.onnx`;
}

/** The decoders of a folder, what to take by default first: the one that config.json states for transformers.js, else the only one, else fp32. */
export async function findOnnxFiles(directory: string): Promise<OnnxFile[]> {
  const names = await readdir(join(directory, 'onnx')).catch((): string[] => []);
  const present = dtypeNames.filter((dtype) => names.includes(onnxFileName(dtype)));
  const stated = await statedDefault(directory);
  const first = present.find((dtype) => dtype === stated);
  const ordered = first === undefined ? present : [first, ...present.filter((dtype) => dtype !== first)];
  return ordered.map((dtype) => ({ path: join(directory, 'onnx', onnxFileName(dtype)), dtype }));
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

/** An ONNX file and the data files that hold its larger tensors (`model.onnx_data`, `model.onnx_data_1`, `model.onnx.data`), absolute. */
export async function onnxFileParts(file: string): Promise<string[]> {
  const [folder, name] = [dirname(file), basename(file)];
  const isData = (other: string): boolean => other.startsWith(name) && /^[._]data(_\d+)?$/.test(other.slice(name.length));
  const data = (await readdir(folder).catch((): string[] => [])).filter(isData).sort();
  return [file, ...data.map((other) => join(folder, other))];
}
