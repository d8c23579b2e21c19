import { pareError, systemErrorCode, type FileSystem } from '@pare/core';
import { readText, unreadable } from '../store/read-file.js';

/** The parts of a `tokenizer.json` that Pare looks into. */
export interface TokenizerJson {
  readonly model: { readonly type?: string; readonly vocab?: unknown };
  readonly normalizer?: { readonly type: string } | null;
  readonly pre_tokenizer?: { readonly type: string; readonly pretokenizers?: readonly object[] } | null;
  readonly added_tokens: readonly { readonly content: string; readonly lstrip?: boolean; readonly rstrip?: boolean }[];
}

/** The parts of a `tokenizer_config.json` that Pare looks into. Tokens are strings, or objects with their content. */
export type TokenizerConfig = Readonly<Record<string, unknown>>;

/** The tokenizer files of a folder. */
export interface TokenizerFiles {
  readonly path: string;
  readonly tokenizer: TokenizerJson;
  readonly config: TokenizerConfig;
}

/** Reads a folder's tokenizer. @throws PARE_TOKENIZER_MISSING, PARE_TOKENIZER_INVALID, PARE_FILE_UNREADABLE */
export async function readTokenizerFiles(directory: string, files: FileSystem): Promise<TokenizerFiles> {
  const { join } = files.path;
  const entries = await files.list(directory).catch((cause: unknown) => {
    throw unreadable(directory, cause);
  });
  const listing = entries.map(({ name }) => name);
  if (!listing.includes('tokenizer.json')) {
    const found = listing.filter((name) => /^(tokenizer|vocab|merges|spiece|sentencepiece)/.test(name)).sort();
    throw pareError('PARE_TOKENIZER_MISSING', { directory, found });
  }
  const path = join(directory, 'tokenizer.json');
  const tokenizer = parseObject(path, await readText(path, files));
  if (!isObject(tokenizer['model'])) throw pareError('PARE_TOKENIZER_INVALID', { file: path, problem: 'it has no "model" object' });
  const special = await readOptional(join(directory, 'special_tokens_map.json'), files);
  const config = await readOptional(join(directory, 'tokenizer_config.json'), files);
  return { path, tokenizer: { added_tokens: [], ...tokenizer } as unknown as TokenizerJson, config: { ...special, ...config } };
}

async function readOptional(path: string, files: FileSystem): Promise<TokenizerConfig> {
  const text = await files.readText(path).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return '{}';
    throw unreadable(path, error);
  });
  return parseObject(path, text);
}

function parseObject(file: string, text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw pareError('PARE_TOKENIZER_INVALID', { file, problem: `it is not JSON (${(cause as Error).message})` }, cause);
  }
  if (!isObject(value)) throw pareError('PARE_TOKENIZER_INVALID', { file, problem: 'it is no JSON object' });
  return value;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
