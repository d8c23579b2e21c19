import { isHostInitializer, tensorBytes, type FormatContext, type WrittenFile } from '@pare/core';
import { writeOnnxFile } from '@pare/graph/node';
import { addCachedDecoder } from '@pare/model';
import { quantizedPart } from '@pare/weights';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { ExportScope } from './export-scope.js';
import type { OnnxOptions } from './options.js';
import { planLayout, type PackedLayout } from './packing.js';
import { variantFile, type Variant } from './variants.js';

/** A module's layout and the width of its codes before widening. */
export interface QuantizedModule {
  readonly bits: number;
  readonly layout: PackedLayout;
}

/** Layouts of all quantized modules that own their weights. Reads each once. @throws PARE_FORM_UNSUPPORTED */
export async function planQuantizedModules({ model }: FormatContext<OnnxOptions>): Promise<Map<string, QuantizedModule>> {
  const planned = new Map<string, QuantizedModule>();
  for (const { name, form, sharedWith } of model.modules) {
    if ((form !== 'quantized' && form !== 'sparse') || sharedWith !== undefined) continue;
    const weight = quantizedPart(await model.weight(name));
    if (weight === undefined) continue;
    planned.set(name, { bits: weight.scheme.bits, layout: planLayout(name, weight) });
  }
  return planned;
}

/** Writes one variant; returns its files, the model first, relative to the output folder. */
export async function writeVariant(context: FormatContext<OnnxOptions>, variant: Variant, modules: ReadonlyMap<string, QuantizedModule>): Promise<WrittenFile[]> {
  const { model, options, directory, signal, progress } = context;
  const detail = variantFile(variant);
  let completed = 0;
  let total = 0;
  const onRead = (): void => {
    progress.report({ completed: ++completed, total, unit: 'tensors', detail });
  };
  const layouts = new Map(variant.packed ? [...modules].map(([name, { layout }]) => [name, layout] as const) : []);
  const scope = new ExportScope({ model, variant, layouts, accuracyLevel: options.accuracyLevel, signal, onRead });
  addCachedDecoder(scope, model.description, options.experts);
  const graph = scope.builder.build();
  total = [...graph.initializers.values()].filter((tensor) => !isHostInitializer(tensor)).length;

  const path = join(directory, detail);
  await mkdir(dirname(path), { recursive: true });
  const bytes = [...graph.initializers.values()].reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  // Protobuf ends at 2 GiB, and browsers load each file into one buffer.
  const external = { fileName: `${basename(path)}_data`, maximumFileBytes: options.maximumFileBytes };
  const files = await writeOnnxFile(graph, path, { externalData: bytes > options.maximumFileBytes ? external : 'never' });
  return files.map((file) => ({ path: relative(directory, file.path).split(sep).join('/'), bytes: file.bytes }));
}
