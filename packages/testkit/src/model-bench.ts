import type { ModelBench } from '@pare/conformance';
import { defineFormat, type Format, type WeightFormKind } from '@pare/core';
import { createHash } from 'node:crypto';
import { awkwardModel, type ModelFolder } from './awkward-models.js';
import { dumpFormat, readDump } from './dump-format.js';
import { folderHashes } from './folder-hashes.js';
import { makeBackend } from './make-backend.js';
import { temporaryDirectory } from './temporary-directory.js';
import { startTestHost } from './test-host.js';
import { memoryText, sampleText } from './text.js';

const forms: readonly WeightFormKind[] = ['dense', 'quantized', 'sparse', 'factorized', 'tensor-train', 'shared'];

/** Tiny models by what is awkward about them, and a host to run techniques on them. Models are made when they are first asked for, and removed with everything written on disposal. */
export async function modelBench(): Promise<ModelBench> {
  const outputs = await temporaryDirectory();
  const made = new Map<string, ModelFolder>();
  const folderOf = async (name: string): Promise<string> => {
    const folder = made.get(name) ?? (await awkwardModel(name));
    made.set(name, folder);
    return folder.model;
  };
  return {
    async compress({ technique, model: name, options, modules, output, resume = false, signal, onModule, onBlock }) {
      const model = await folderOf(name);
      const after = new Map<string, string>();
      await using host = await startTestHost({ plugins: [technique, hashingFormat(after)] });
      if (onModule !== undefined) host.events.on('module:done', ({ module }) => { onModule(module); });
      if (onBlock !== undefined) host.events.on('block:done', onBlock);
      const backend = await makeBackend();
      try {
        const sources = await folderHashes(model);
        const before = await hashesOf(host, model);
        const result = await host.compress({
          model,
          recipe: { version: 1, stages: [{ technique: technique.id, options: options as Record<string, unknown>, ...(modules === undefined ? {} : { targets: { include: [...modules] } }) }] },
          calibration: { data: memoryText(sampleText(2000)), samples: 2, sequenceLength: 16 },
          formats: ['bench'],
          backend,
          output: outputs.join(output),
          resume,
          ...(signal === undefined ? {} : { signal }),
        });
        const sourcesAfter = await folderHashes(model);
        return {
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
