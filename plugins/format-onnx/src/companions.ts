import type { FormatContext, ModelConfig, WrittenFile } from '@pare/core';
import { constants, copyFile, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OnnxOptions } from './options.js';
import type { Variant } from './variants.js';

/** A variant and how many data files it has. */
export interface WrittenVariant {
  readonly variant: Variant;
  /** `model_q4.onnx`. */
  readonly fileName: string;
  readonly dataFiles: number;
}

/**
 * What transformers.js reads beside the graph: configuration, generation defaults, tokenizer. Files that another format wrote stay; of an existing configuration only the
 * key `transformers.js_config` is set.
 */
export async function writeCompanions(context: FormatContext<OnnxOptions>, variants: readonly WrittenVariant[]): Promise<WrittenFile[]> {
  const { model, directory } = context;
  const written: WrittenFile[] = [];
  for (const file of model.companionFiles) {
    if (await copyIfMissing(join(model.directory, file), join(directory, file))) written.push(await described(directory, file));
  }
  if (!(await exists(join(directory, 'generation_config.json')))) {
    await writeJson(join(directory, 'generation_config.json'), generationDefaults(model.config));
    written.push(await described(directory, 'generation_config.json'));
  }
  const path = join(directory, 'config.json');
  const config = (await exists(path)) ? (JSON.parse(await readFile(path, 'utf8')) as ModelConfig) : withoutQuantization(model.config);
  await writeJson(path, { ...config, 'transformers.js_config': runtimeSettings(variants) });
  written.push(await described(directory, 'config.json'));
  return written;
}

/** The variant to load when none is asked for, and the data files of those that have any. What the source said about its own ONNX files is not kept. */
function runtimeSettings(variants: readonly WrittenVariant[]): Record<string, unknown> {
  const external = Object.fromEntries(variants.filter(({ dataFiles }) => dataFiles > 0).map(({ fileName, dataFiles }) => [fileName, dataFiles]));
  return { dtype: variants[0]!.variant.dtype, ...(Object.keys(external).length === 0 ? {} : { use_external_data_format: external }) };
}

/** These describe safetensors files, which are not here. */
function withoutQuantization(config: ModelConfig): ModelConfig {
  const { quantization_config: _quantization, compression_config: _compression, ...rest } = config;
  return rest;
}

/** The token ids of the configuration, for models that come without generation defaults. */
function generationDefaults(config: ModelConfig): Record<string, unknown> {
  const ids = ['bos_token_id', 'eos_token_id', 'pad_token_id'].filter((key) => config[key] !== undefined && config[key] !== null);
  return { _from_model_config: true, ...Object.fromEntries(ids.map((key) => [key, config[key]])) };
}

async function copyIfMissing(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function described(directory: string, path: string): Promise<WrittenFile> {
  return { path, bytes: (await stat(join(directory, path))).size };
}
