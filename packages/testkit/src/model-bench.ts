import { referenceBackend } from '@pare/backend-reference';
import { defineFormat, type Backend, type Format, type ModuleReport, type Technique, type WeightForm, type WeightFormKind } from '@pare/core';
import type { CompressionPlan } from '@pare/runtime';
import { createHash } from 'node:crypto';
import { dumpFormat, readDump } from './dump-format.js';
import { folderHashes } from './folder-hashes.js';
import { runTechnique } from './run-technique.js';
import { temporaryDirectory } from './temporary-directory.js';
import { startTestHost } from './test-host.js';
import { memoryText, sampleText } from './text.js';
import { tinyModel, writeSyntheticLlama } from './tiny-model.js';

/** A stage with one technique on a model of a bench. */
export interface BenchRun<O> {
  readonly technique: Technique<O>;
  readonly model: string;
  readonly options: unknown;
  readonly modules?: readonly string[];
  readonly output: string;
  readonly resume?: boolean;
  readonly signal?: AbortSignal;
  onModule?(module: string): void;
  onBlock?(): void;
}

/** What became of the model; `@pare/conformance` says what each is for. */
export interface BenchOutcome {
  readonly plan: CompressionPlan['stages'][number]['modules'];
  readonly reports: ReadonlyMap<string, ModuleReport>;
  readonly forms: ReadonlyMap<string, WeightForm>;
  readonly before: ReadonlyMap<string, string>;
  readonly after: ReadonlyMap<string, string>;
  readonly files: Readonly<Record<string, string>>;
  readonly restoredBlocks: number;
  readonly changedSources: readonly string[];
  readonly leaked: number;
}

/** Tiny models by what is awkward about them, and a host to run techniques on them. */
export interface TechniqueModels extends AsyncDisposable {
  readonly models: readonly string[];
  compress<O>(run: BenchRun<O>): Promise<BenchOutcome>;
}

const forms: readonly WeightFormKind[] = ['dense', 'quantized', 'sparse', 'factorized', 'tensor-train', 'shared'];
const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** How the folder of each model is made. */
const makers: Readonly<Record<string, () => Promise<{ readonly model: string } & AsyncDisposable>>> = {
  'grouped queries': () => tinyModel('llama'),
  'a tied head': () => tinyModel('llama-tied-rope-scaled'),
  experts: () => tinyModel('qwen3_moe'),
  'fused projections': () => tinyModel('phi3'),
  biases: () => tinyModel('opt'),
  'one block': () => syntheticModel({ layers: 1, vocabulary: 120 }),
  // Heads of 10 dimensions, rows of 30 and 45 weights: nothing that a power of two divides.
  'odd sizes': () => syntheticModel({ layers: 2, hidden: 30, intermediate: 45, heads: 3, vocabulary: 101 }),
};

async function syntheticModel(sizes: Parameters<typeof writeSyntheticLlama>[1]): Promise<{ readonly model: string } & AsyncDisposable> {
  const folder = await temporaryDirectory();
  const model = folder.join('model');
  await writeSyntheticLlama(model, sizes);
  return { ...folder, model };
}

/** Makes models when they are first asked for, and removes them with everything written when it is disposed. */
export async function modelBench(): Promise<TechniqueModels> {
  const outputs = await temporaryDirectory();
  const made = new Map<string, { readonly model: string } & AsyncDisposable>();
  const folderOf = async (name: string): Promise<string> => {
    const maker = makers[name];
    if (maker === undefined) throw new Error(`the bench has no model with ${name}; there are: ${Object.keys(makers).join(', ')}`);
    const folder = made.get(name) ?? (await maker());
    made.set(name, folder);
    return folder.model;
  };
  return {
    models: Object.keys(makers),
    async compress({ technique, model: name, options, modules, output, resume = false, signal, onModule, onBlock }) {
      const model = await folderOf(name);
      const after = new Map<string, string>();
      await using host = await startTestHost({ plugins: [technique, hashingFormat(after)] });
      if (onModule !== undefined) host.events.on('module:done', ({ module }) => { onModule(module); });
      if (onBlock !== undefined) host.events.on('block:done', onBlock);
      const backend: Backend = await referenceBackend.create({}, { log });
      try {
        const request = {
          model,
          recipe: { version: 1 as const, stages: [{ technique: technique.id, options: options as Record<string, unknown>, ...(modules === undefined ? {} : { targets: { include: [...modules] } }) }] },
          calibration: { data: memoryText(sampleText(2000)), samples: 2, sequenceLength: 16 },
          formats: ['bench'],
          backend,
          ...(signal === undefined ? {} : { signal }),
        };
        const sources = await folderHashes(model);
        const before = await hashesOf(host, model);
        const plan = await host.plan(request);
        const result = await host.compress({ ...request, output: outputs.join(output), resume });
        const sourcesAfter = await folderHashes(model);
        return {
          plan: plan.stages[0]!.modules,
          reports: new Map(result.stages[0]!.reports.map((report) => [report.module, report])),
          forms: await readDump(outputs.join(output)),
          before,
          after,
          files: await folderHashes(outputs.join(output)),
          restoredBlocks: result.restoredBlocks,
          changedSources: [...new Set([...Object.keys(sources), ...Object.keys(sourcesAfter)])].filter((file) => sources[file] !== sourcesAfter[file]),
          leaked: backend.memory().tensors,
        };
      } finally {
        await backend[Symbol.asyncDispose]();
      }
    },
    async [Symbol.asyncDispose]() {
      for (const folder of made.values()) await folder[Symbol.asyncDispose]();
      await outputs[Symbol.asyncDispose]();
    },
  };
}

/** What `describeTechnique` needs to know of a host: `describeTechnique(mine, { ...techniqueBench, variants: … })`. Leave `run` out for techniques that work on whole models. */
export const techniqueBench = { run: runTechnique, makeBackend: (): Promise<Backend> => Promise.resolve(referenceBackend.create({}, { log })), models: modelBench };

/** The dump of every form, which also hashes every tensor of the model that it is given. */
function hashingFormat(hashes: Map<string, string>): Format<Record<string, never>> {
  return defineFormat({
    ...dumpFormat,
    id: 'bench',
    accepts: forms,
    async write(context) {
      for (const [tensor, hash] of await tensorHashes(context.model)) hashes.set(tensor, hash);
      return dumpFormat.write(context);
    },
  });
}

async function hashesOf(host: Awaited<ReturnType<typeof startTestHost>>, folder: string): Promise<Map<string, string>> {
  await using model = await host.openModel(folder);
  return await tensorHashes(model);
}

async function tensorHashes(model: Parameters<Format['write']>[0]['model']): Promise<Map<string, string>> {
  const hashes = new Map<string, string>();
  for (const { name } of model.tensors) {
    const { data } = await model.tensor(name);
    hashes.set(name, createHash('sha256').update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)).digest('hex'));
  }
  return hashes;
}
