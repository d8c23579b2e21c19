import { hostTensor, pareError, throwIfAborted, type FormatContext, type HostTensor, type Model, type WrittenFile } from '@pare/core';
import { configText, writeShardedSafetensors, type TensorEntry } from '@pare/model';
import { copyFile } from '@pare/platform';
import { inputSchemeOf, quantizedPart } from '@pare/weights';
import type { FolderOptions } from './folder-options.js';
import type { MatrixLayout, SchemeSummary, StoredPart } from './matrix-layout.js';
import { isProduct } from './product-notes.js';

/** How a folder is written. */
export interface FolderWriting {
  /** Id of the format, for messages. */
  readonly format: string;
  /** How quantized matrices are stored; without it they are written dense. */
  readonly layout?: MatrixLayout | undefined;
}

/**
 * Writes configuration, companion files and weights of a model as a Hugging Face folder. Two matrices are in memory at a time.
 * @throws PARE_FORM_UNSUPPORTED for factorized weights without `multiplyOut`, and for what the layout has no place for
 */
export async function writeFolder(context: FormatContext<FolderOptions>, { format, layout }: FolderWriting): Promise<readonly WrittenFile[]> {
  const { model, options, directory, files, signal } = context;
  const { join, relative } = files.path;
  const factorized = options.multiplyOut ? undefined : model.modules.find(({ form }) => isProduct(form));
  if (factorized !== undefined) {
    throw pareError('PARE_FORM_UNSUPPORTED', { operation: `writing ${factorized.name} to a Hugging Face folder`, found: `a ${factorized.form} weight`, allowed: 'others; "multiplyOut: true" writes the product' });
  }
  if (layout === undefined && model.modules.some(({ form }) => form === 'quantized')) {
    context.log.warn(`${format}: quantized weights are written dense (dequantize): the folder is no smaller than the uncompressed model`);
  }
  const forms = layout === undefined ? new Map<string, FormLoader>() : await findQuantized(model, layout, signal);
  const written: WrittenFile[] = await writeConfig(context, layout, forms);
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
interface FormLoader extends SchemeSummary {
  readonly parts: readonly Pick<StoredPart, 'part' | 'dtype' | 'byteType' | 'shape'>[];
  read(part: string): Promise<HostTensor>;
}

/** The modules whose weights are quantized. A file's header comes before its data, so schemes are looked up in a first pass. */
async function findQuantized(model: Model, layout: MatrixLayout, signal: AbortSignal): Promise<Map<string, FormLoader>> {
  const found = new Map<string, FormLoader>();
  // The parts of a matrix follow each other in the file, so the last one loaded is kept.
  let latest: { readonly module: string; readonly parts: readonly StoredPart[] } | undefined;
  for (const info of model.modules) {
    throwIfAborted(signal, 'writing the Hugging Face folder');
    // A sparse matrix may hold codes, too; its zeros are codes like others.
    if (info.form !== 'quantized' && info.form !== 'sparse') continue;
    const form = quantizedPart(await model.weight(info.name));
    if (form === undefined) continue;
    found.set(info.name, {
      scheme: form.scheme,
      groupIndex: form.groupIndex !== undefined,
      input: inputSchemeOf(form),
      parts: layout.parts(form, info).map(({ part, dtype, byteType, shape }) => ({ part, dtype, byteType, shape })),
      async read(part) {
        if (latest?.module !== info.name) latest = { module: info.name, parts: layout.parts(quantizedPart(await model.weight(info.name))!, info) };
        const { dtype, shape, data } = latest.parts.find((candidate) => candidate.part === part)!;
        return hostTensor(dtype, shape, data());
      },
    });
  }
  return found;
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
    for (const { part, dtype: partType, byteType, shape: partShape } of form.parts) {
      yield { name: `${module}.${part}`, dtype: partType, byteType, shape: partShape, read: () => form.read(part) };
    }
  }
}

async function writeConfig({ model, directory, files }: FormatContext<FolderOptions>, layout: MatrixLayout | undefined, schemes: ReadonlyMap<string, SchemeSummary>): Promise<WrittenFile[]> {
  const write = async (path: string, text: string): Promise<WrittenFile> => {
    await files.writeText(files.path.join(directory, path), text);
    return { path, bytes: new TextEncoder().encode(text).length };
  };
  // How the source was compressed says nothing about this folder.
  const none = { quantization_config: undefined, compression_config: undefined };
  const config = layout === undefined || schemes.size === 0 ? undefined : layout.config(schemes);
  const written = [await write('config.json', await configText(model, config === undefined ? none : { ...none, quantization_config: config }))];
  if (config !== undefined && layout?.configCopy !== undefined) written.push(await write(layout.configCopy, `${JSON.stringify(config, undefined, 2)}\n`));
  return written;
}
