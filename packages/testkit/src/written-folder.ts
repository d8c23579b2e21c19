import type { Format, Model, VerificationResult, WeightForm, WrittenFile } from '@pare/core';
import { openModel, overlayModel } from '@pare/model';
import { quantizeMatrix, storedBits, type QuantizerOptions, type ScaleType } from '@pare/weights';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { architectures } from './architectures.js';
import { fixtures, type FixtureName } from './fixtures.js';
import { formatContext } from './format-context.js';
import { temporaryDirectory } from './temporary-directory.js';

/** What a format wrote. */
export interface WrittenFolder {
  readonly directory: string;
  readonly files: readonly WrittenFile[];
  /** Its `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly warnings: readonly string[];
  /** Reads it back with the format; another model or other files than were written may be given. */
  verify(model?: Model, files?: readonly WrittenFile[]): Promise<VerificationResult>;
  /** Changes the lowest bit of the first byte of a tensor in `model.safetensors`. */
  corrupt(tensor: string): Promise<void>;
}

/** Opens and writes model folders for a test file, and cleans up behind it. */
export interface FolderBench extends AsyncDisposable {
  readonly path: string;
  /** Opens a folder until `close`. */
  open(directory: string): Promise<Model>;
  /** A fixture with some linear layers rounded to nearest. `choose` gives a module's options, or nothing to leave it dense. */
  rounded(name: FixtureName, choose: (module: string) => QuantizerOptions | undefined, scaleType?: ScaleType): Promise<Model>;
  /** A fixture with some weights in other forms. */
  overlaid(name: FixtureName, forms: Readonly<Record<string, WeightForm>>): Promise<Model>;
  /** Writes a model into a folder of its own. */
  write<O>(format: Format<O>, model: Model, options?: Partial<O>, signal?: AbortSignal): Promise<WrittenFolder>;
  /** Closes what was opened: overlays leave their base to whoever opened it. */
  close(): Promise<void>;
}

/** A bench for tests of formats that write folders. */
export async function folderBench(): Promise<FolderBench> {
  const folder = await temporaryDirectory();
  const opened: Model[] = [];
  let counter = 0;
  const open = async (directory: string): Promise<Model> => {
    const model = await openModel(directory, { architectures });
    opened.push(model);
    return model;
  };
  const close = async (): Promise<void> => {
    for (const model of opened.splice(0)) await model[Symbol.asyncDispose]();
  };
  return {
    path: folder.path,
    open,
    close,
    async rounded(name, choose, scaleType = 'float32') {
      const base = await open(fixtures.model(name));
      const forms: Record<string, WeightForm> = {};
      for (const info of base.modules) {
        const options = info.kind === 'linear' ? choose(info.name) : undefined;
        if (options !== undefined) forms[info.name] = quantizeMatrix((await base.denseWeight(info.name)).data, info.shape, options, scaleType);
      }
      return overlay(base, forms);
    },
    overlaid: async (name, forms) => overlay(await open(fixtures.model(name)), forms),
    async write<O>(format: Format<O>, model: Model, options: Partial<O> = {}, signal = new AbortController().signal): Promise<WrittenFolder> {
      const directory = folder.join(String(counter++));
      await mkdir(directory);
      const warnings: string[] = [];
      const ignore = (): undefined => undefined;
      const parsed = await format.options['~standard'].validate(options);
      if (parsed.issues !== undefined) throw new Error(JSON.stringify(parsed.issues));
      const log = { debug: ignore, info: ignore, warn: (message: string) => void warnings.push(message), error: ignore };
      const context = formatContext({ model, options: parsed.value, directory, log, signal, backend: undefined as never });
      const files = await format.write(context);
      const config = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')) as Record<string, unknown>;
      return {
        ...{ directory, files, config, warnings },
        verify: (held = model, found = files) => format.verify({ ...context, model: held }, found),
        async corrupt(tensor) {
          const path = join(directory, 'model.safetensors');
          const file = await readFile(path);
          const headerBytes = Number(file.readBigUInt64LE(0));
          const header = JSON.parse(file.subarray(8, 8 + headerBytes).toString()) as Record<string, { data_offsets: [number, number] }>;
          file[8 + headerBytes + header[tensor]!.data_offsets[0]]! ^= 1;
          await writeFile(path, file);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

function overlay(base: Model, forms: Readonly<Record<string, WeightForm>>): Model {
  return overlayModel(base, new Map(Object.entries(forms).map(([name, form]) => [name, () => Promise.resolve(form)])), new Map(Object.entries(forms).map(([name, form]) => [name, { produces: form.form, storedBits: storedBits(form) }])));
}
