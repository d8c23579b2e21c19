import {
  hostTensor,
  pareError,
  throwIfAborted,
  type FormatContext,
  type HostTensor,
  type Model,
  type ModuleInfo,
  type WrittenFile,
} from '@pare/core';
import { configText, writeShardedSafetensors, type TensorEntry } from '@pare/model';
import { copyFile } from '@pare/platform';
import { quantizedPart } from '@pare/weights';
import type { HuggingFaceOptions } from './options.js';
import { packedParts, type PackedPart } from './pack-weight.js';
import { schemeOf, type PackedScheme } from './packed-scheme.js';
import { quantizationConfig } from './quantization-config.js';
import { isProduct } from './refuse.js';

/** Writes configuration, companion files and weights. One matrix is in memory at a time. */
export async function writeFolder(context: FormatContext<HuggingFaceOptions>): Promise<readonly WrittenFile[]> {
  const { model, options, directory, files, signal } = context;
  const { join, relative } = files.path;
  const factorized = options.multiplyOut ? undefined : model.modules.find(({ form }) => isProduct(form));
  if (factorized !== undefined) {
    throw pareError('PARE_FORM_UNSUPPORTED', { operation: `writing ${factorized.name} to a Hugging Face folder`, found: `a ${factorized.form} weight`, allowed: 'others; "multiplyOut: true" writes the product' });
  }
  const forms = options.dequantize ? new Map<string, FormLoader>() : await findQuantized(model, signal);
  if (options.dequantize && model.modules.some(({ form }) => form === 'quantized')) {
    context.log.warn('hf: quantized weights are written dense (dequantize): the folder is no smaller than the uncompressed model');
  }
  const written: WrittenFile[] = [];
  const schemes = new Map([...forms].map(([name, { scheme }]) => [name, scheme]));
  written.push(await writeConfig(context, schemes));
  for (const name of model.companionFiles) {
    const target = join(directory, name);
    await files.makeFolder(files.path.dirname(target));
    await copyFile({ files: model.files, path: model.files.path.join(model.directory, name) }, { files, path: target });
    written.push({ path: name, bytes: (await files.status(target))!.bytes });
  }
  const weights = await writeShardedSafetensors(directory, weightEntries(model, forms), {
    files,
    maximumShardBytes: options.maximumShardBytes,
    signal,
    onProgress: ({ bytes, totalBytes, tensor }) => context.progress.report({ completed: bytes, total: totalBytes, unit: 'bytes', detail: tensor }),
  });
  for (const { path, bytes } of weights) written.push({ path: relative(directory, path), bytes });
  return written;
}

/** A quantized matrix: what it is stored in, and how to get it. */
interface FormLoader {
  readonly scheme: PackedScheme;
  readonly parts: readonly Pick<PackedPart, 'part' | 'dtype' | 'shape'>[];
  read(part: string): Promise<HostTensor>;
}

/** The modules whose weights are quantized. A file's header comes before its data, so schemes are looked up in a first pass. */
async function findQuantized(model: Model, signal: AbortSignal): Promise<Map<string, FormLoader>> {
  const found = new Map<string, FormLoader>();
  // The parts of a matrix follow each other in the file, so the last one loaded is kept.
  let latest: { readonly module: string; readonly parts: readonly PackedPart[] } | undefined;
  for (const info of model.modules) {
    throwIfAborted(signal, 'writing the Hugging Face folder');
    // A sparse matrix may hold codes, too; its zeros are codes like others.
    if (info.form !== 'quantized' && info.form !== 'sparse') continue;
    const form = quantizedPart(await model.weight(info.name));
    if (form === undefined) continue;
    requirePackable(info);
    found.set(info.name, {
      scheme: schemeOf(form),
      parts: packedParts(form).map(({ part, dtype, shape }) => ({ part, dtype, shape })),
      async read(part) {
        if (latest?.module !== info.name) latest = { module: info.name, parts: packedParts(quantizedPart(await model.weight(info.name))!) };
        const { dtype, shape, data } = latest.parts.find((candidate) => candidate.part === part)!;
        return hostTensor(dtype, shape, data());
      },
    });
  }
  return found;
}

/** A host asks `refuse` first; a caller that does not gets the same answer here. */
function requirePackable(info: ModuleInfo): void {
  if (info.layout === 'out-in' && (info.kind === 'linear' || info.kind === 'head')) return;
  throw pareError('PARE_FORM_UNSUPPORTED', {
    operation: `writing ${info.name} as pack-quantized`,
    found: info.layout === 'in-out' ? 'a quantized Conv1D' : `a quantized ${info.kind}`,
    allowed: 'quantized Linear layers; "dequantize: true" writes others dense',
  });
}

/** Every tensor of the model in execution order, quantized matrices in their parts. */
function* weightEntries(model: Model, forms: ReadonlyMap<string, FormLoader>): Generator<TensorEntry> {
  for (const { name, dtype, shape } of model.tensors) {
    const module = name.replace(/\.weight$/, '');
    const form = forms.get(module);
    if (form === undefined) {
      yield { name, dtype, shape, read: () => model.tensor(name) };
      continue;
    }
    for (const { part, dtype: partType, shape: partShape } of form.parts) {
      yield { name: `${module}.${part}`, dtype: partType, shape: partShape, read: () => form.read(part) };
    }
  }
}

async function writeConfig({ model, directory, files }: FormatContext<HuggingFaceOptions>, schemes: ReadonlyMap<string, PackedScheme>): Promise<WrittenFile> {
  // How the source was compressed says nothing about this folder.
  const none = { quantization_config: undefined, compression_config: undefined };
  const text = await configText(model, schemes.size === 0 ? none : { ...none, quantization_config: quantizationConfig(model.modules, schemes) });
  await files.writeText(files.path.join(directory, 'config.json'), text);
  return { path: 'config.json', bytes: new TextEncoder().encode(text).length };
}
