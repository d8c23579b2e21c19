import { isHostInitializer, pareError, tensorBytes, type FormatContext, type InputQuantization, type WrittenFile } from '@pare/core';
import { writeOnnxFile } from '@pare/graph/node';
import { addCachedDecoder } from '@pare/model';
import { matrixParts, quantizedPart, trainShape, type TrainShape } from '@pare/weights';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { ExportScope } from './export-scope.js';
import { planInteger, type IntegerLayout } from './integer.js';
import type { OnnxOptions } from './options.js';
import { planLayout, type PackedLayout } from './packing.js';
import { factorizedKinds, trainKinds } from './refuse.js';
import { variantFile, type Variant } from './variants.js';

/** A matrix's layout in blocks and the width of its codes before widening. */
export interface QuantizedMatrix {
  readonly bits: number;
  /** Absent for matrices of integer products. */
  readonly layout: PackedLayout | undefined;
}

/** What has to be known of compressed weights before a graph can be made. */
export interface PlannedMatrices {
  /** Quantized matrices by name: those of modules, and factors. */
  readonly quantized: ReadonlyMap<string, QuantizedMatrix>;
  /** Ranks of factorized modules. */
  readonly ranks: ReadonlyMap<string, number>;
  /** Sizes and ranks of embeddings in tensor trains. */
  readonly trains: ReadonlyMap<string, TrainShape>;
  /** Modules that round their inputs. */
  readonly inputs: ReadonlyMap<string, InputQuantization>;
  /** Those of them whose products are integer products in packed variants. */
  readonly integers: ReadonlyMap<string, IntegerLayout>;
}

/** Layouts of all compressed modules that own their weights. Reads each once. @throws PARE_FORM_UNSUPPORTED */
export async function planMatrices({ model }: FormatContext<OnnxOptions>): Promise<PlannedMatrices> {
  const quantized = new Map<string, QuantizedMatrix>();
  const ranks = new Map<string, number>();
  const trains = new Map<string, TrainShape>();
  const inputs = new Map<string, InputQuantization>();
  const integers = new Map<string, IntegerLayout>();
  for (const { name, kind, form, sharedWith } of model.modules) {
    if (form === 'dense' || form === 'shared' || sharedWith !== undefined) continue;
    const weight = await model.weight(name);
    if (weight.form === 'factorized') {
      if (kind === 'embedding') throw pareError('PARE_FORM_UNSUPPORTED', { operation: `writing "${name}" as ONNX`, found: 'a factorized embedding', allowed: factorizedKinds });
      ranks.set(name, weight.left.shape[1]!);
    }
    if (weight.form === 'tensor-train') {
      if (kind !== 'embedding') throw pareError('PARE_FORM_UNSUPPORTED', { operation: `writing "${name}" as ONNX`, found: `a ${kind} matrix in tensor trains`, allowed: trainKinds });
      trains.set(name, trainShape(weight));
    }
    for (const part of matrixParts(name, weight)) {
      const codes = quantizedPart(part.form);
      if (codes === undefined) continue;
      const integer = kind === 'embedding' ? undefined : planInteger(name, codes);
      if (codes.input !== undefined) inputs.set(name, codes.input);
      if (integer !== undefined) integers.set(name, integer);
      quantized.set(part.name, { bits: codes.scheme.bits, layout: integer === undefined ? planLayout(name, codes, part.name) : undefined });
    }
  }
  return { quantized, ranks, trains, inputs, integers };
}

/** Writes one variant; returns its files, the model first, relative to the output folder. */
export async function writeVariant(context: FormatContext<OnnxOptions>, variant: Variant, { quantized, ranks, trains, inputs, integers }: PlannedMatrices): Promise<WrittenFile[]> {
  const { model, options, directory, signal, progress } = context;
  const detail = variantFile(variant);
  let completed = 0;
  let total = 0;
  const onRead = (): void => {
    progress.report({ completed: ++completed, total, unit: 'tensors', detail });
  };
  const packed = variant.packed ? [...quantized] : [];
  const layouts = new Map(packed.flatMap(([name, { layout }]) => (layout === undefined ? [] : [[name, layout] as const])));
  const scope = new ExportScope({ model, variant, layouts, ranks, trains, inputs, integers: variant.packed ? integers : new Map(), accuracyLevel: options.accuracyLevel, signal, onRead });
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
