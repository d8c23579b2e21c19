import { isPareError, pareError, type DenseWeight, type FileSystem, type HostTensor, type ModuleReport, type WeightForm, type WorkFolder } from '@pare/core';
import { lockFolder, lockName, treeBytes, unlockFolder, writeAtomically } from '@pare/platform';
import { deserializeForm, serializeForm } from '@pare/weights';
import { differences, type JournalInputs } from './journal-inputs.js';
import type { ModelLibrary } from './model-library.js';

/** A module's new weight and what the technique said about it. */
export interface ModuleOutcome {
  readonly form: WeightForm;
  readonly report: ModuleReport;
}

/** What a technique made of a batch. */
export interface BatchOutcome {
  readonly modules: ReadonlyMap<string, ModuleOutcome>;
  /** Other tensors that it replaced, by stored name, in their stored types. */
  readonly parameters: ReadonlyMap<string, DenseWeight>;
}

/** What is known of a finished batch without reading weights. */
export interface BatchSummary {
  readonly reports: ReadonlyMap<string, ModuleReport>;
  /** Stored names of the other tensors that were replaced. */
  readonly parameters: readonly string[];
}

/** One piece of finished work: a stage's modules of one block, or those outside blocks. */
export interface BatchKey {
  readonly stage: number;
  /** Block index; undefined for modules outside blocks. */
  readonly block: number | undefined;
}

export interface JournalRequest {
  readonly files: FileSystem;
  readonly output: string;
  readonly inputs: JournalInputs;
  readonly resume: boolean;
  readonly overwrite: boolean;
}

interface JournalDocument {
  readonly journal: 1;
  /** Whether the run may replace an earlier output. */
  readonly overwrite: boolean;
  readonly inputs: JournalInputs;
}

/** Where the journal of an output stands. */
export function journalFolder(output: string): string {
  return `${output}.pare-journal`;
}

/** True when a run to this output stopped after finishing some of its work. */
export async function hasUnfinishedRun(files: FileSystem, output: string): Promise<boolean> {
  return ((await journalState(files, output))?.bytes ?? 0) > 0;
}

/** What an earlier run to this output left: whether it may replace an output, and the bytes of its finished batches. */
export async function journalState(files: FileSystem, output: string): Promise<{ readonly overwrite: boolean; readonly bytes: number } | undefined> {
  const directory = journalFolder(output);
  const document = await readDocument(files, directory);
  if (document === undefined) return undefined;
  let bytes = 0;
  for (const { name } of await files.list(directory)) if (workName.test(name)) bytes += await treeBytes(files, files.path.join(directory, name));
  return { overwrite: document.overwrite, bytes };
}

const batchFile = /^stage-\d+-(block-\d+|outside)\.safetensors$|^stage-\d+-removal\.json$/;

/** Finished batches, and folders of unfinished ones. */
const workName = new RegExp(`${batchFile.source}|^stage-\\d+-(block-\\d+|outside)\\.work$`);

/**
 * Results of a run on disk, batch by batch, so that memory does not grow with the model and a run that stopped can go on. A batch's file appears under
 * its name only when it is complete: it is written beside, flushed and renamed.
 */
export class Journal {
  readonly directory: string;
  readonly #files: FileSystem;
  readonly #library: ModelLibrary;
  readonly #finished = new Set<string>();

  private constructor(files: FileSystem, directory: string, library: ModelLibrary) {
    this.#files = files;
    this.directory = directory;
    this.#library = library;
  }

  /**
   * Opens the journal of an output for writing and locks it.
   * @throws PARE_OUTPUT_BUSY, PARE_JOURNAL_EXISTS, PARE_RESUME_MISMATCH
   */
  static async open(request: JournalRequest, library: ModelLibrary): Promise<Journal> {
    const { files } = request;
    const directory = journalFolder(request.output);
    await files.makeFolder(directory);
    await lockFolder(files, directory, request.output);
    try {
      const journal = new Journal(files, directory, library);
      // JSON has no undefined: both sides of the comparison go through it.
      const inputs = JSON.parse(JSON.stringify(request.inputs)) as JournalInputs;
      const earlier = await readDocument(files, directory);
      const names = (await files.list(directory)).map(({ name }) => name);
      const batches = names.filter((name) => batchFile.test(name));
      if (earlier !== undefined && names.some((name) => workName.test(name)) && !request.resume && !request.overwrite) {
        throw pareError('PARE_JOURNAL_EXISTS', { output: request.output, journal: directory });
      }
      if (earlier !== undefined && request.resume) {
        const found = differences(earlier.inputs, inputs);
        if (found.length > 0) throw pareError('PARE_RESUME_MISMATCH', { journal: directory, differences: found });
        for (const name of batches) journal.#finished.add(name);
      } else {
        for (const name of names) if (name !== lockName) await files.remove(files.path.join(directory, name));
        await writeAtomically(files, files.path.join(directory, documentName), JSON.stringify({ journal: 1, overwrite: request.overwrite, inputs } satisfies JournalDocument, undefined, 1));
      }
      return journal;
    } catch (error) {
      await unlockFolder(files, directory);
      throw error;
    }
  }

  /** True when there is something to go on from. */
  async hasWork(): Promise<boolean> {
    return (await this.#files.list(this.directory)).some(({ name }) => workName.test(name));
  }

  /** Where a call on a batch may keep unfinished work. */
  workFolder(key: BatchKey, step: number): WorkFolder {
    return { files: this.#files, path: this.#files.path.join(this.#path(`${batchName(key)}.work`), `step-${String(step)}`) };
  }

  async removeWork(key: BatchKey): Promise<void> {
    await this.#files.remove(this.#path(`${batchName(key)}.work`));
  }

  /** Keeps a finished batch. */
  async write(key: BatchKey, { modules, parameters }: BatchOutcome): Promise<void> {
    const tensors: { name: string; tensor: HostTensor }[] = [];
    const metadata: Record<string, string> = {};
    const entries: [string, { readonly form: WeightForm; readonly report?: ModuleReport }][] = [...modules, ...[...parameters].map(([name, form]) => [name, { form }] as [string, { form: WeightForm }])];
    for (const [index, [name, { form, report }]] of entries.entries()) {
      const serialized = serializeForm(form);
      metadata[name] = JSON.stringify({ index, form: serialized.metadata, report } satisfies BatchEntry);
      for (const [part, tensor] of Object.entries(serialized.tensors)) tensors.push({ name: `${String(index)}.${part}`, tensor });
    }
    const path = this.#path(fileName(key));
    await this.#library.writeSafetensors(
      `${path}.partial`,
      tensors.map(({ name, tensor }) => this.#library.tensorEntry(name, tensor)),
      metadata,
      { files: this.#files },
    );
    // The writer has flushed the content; now the name.
    await this.#files.rename(`${path}.partial`, path);
    await this.#files.flush(this.directory);
    this.#finished.add(fileName(key));
    await this.removeWork(key);
  }

  /** What a finished batch holds; undefined when it is not finished, or its file is damaged. */
  async summary(key: BatchKey): Promise<BatchSummary | undefined> {
    if (!this.#finished.has(fileName(key))) return undefined;
    try {
      await using file = await this.#library.SafetensorsFile.open(this.#path(fileName(key)), this.#files);
      const entries = Object.entries(file.metadata).map(([name, text]) => [name, (JSON.parse(text) as BatchEntry).report] as const);
      return {
        reports: new Map(entries.flatMap(([name, report]) => (report === undefined ? [] : [[name, report] as const]))),
        parameters: entries.flatMap(([name, report]) => (report === undefined ? [name] : [])),
      };
    } catch (error) {
      if (!isPareError(error) && !(error instanceof SyntaxError)) throw error;
      this.#finished.delete(fileName(key));
      return undefined;
    }
  }

  /** The weight of a module, or another tensor, from a finished batch, read from disk at every call. */
  async form(key: BatchKey, name: string): Promise<WeightForm> {
    await using file = await this.#library.SafetensorsFile.open(this.#path(fileName(key)), this.#files);
    const entry = JSON.parse(file.metadata[name] ?? 'null') as BatchEntry | null;
    if (entry === null) throw pareError('PARE_MODULE_UNKNOWN', { module: name });
    const prefix = `${String(entry.index)}.`;
    const tensors: Record<string, HostTensor> = {};
    for (const tensor of file.names) if (tensor.startsWith(prefix)) tensors[tensor.slice(prefix.length)] = await file.read(tensor);
    return deserializeForm(tensors, entry.form);
  }

  /** A small result that is not a weight, such as metrics before compression. */
  async note<T>(name: string): Promise<T | undefined> {
    const text = await this.#files.readText(this.#path(`${name}.json`)).catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  async writeNote(name: string, value: unknown): Promise<void> {
    await writeAtomically(this.#files, this.#path(`${name}.json`), JSON.stringify(value));
  }

  /** Lets other runs have it; the batches stay. */
  async release(): Promise<void> {
    await unlockFolder(this.#files, this.directory);
    // A run that stopped before its first batch leaves nothing worth keeping.
    if (!(await this.hasWork())) await this.#files.remove(this.directory);
  }

  /** Removes the journal after the output is complete. */
  async remove(): Promise<void> {
    await this.#files.remove(this.directory);
    await unlockFolder(this.#files, this.directory);
  }

  #path(name: string): string {
    return this.#files.path.join(this.directory, name);
  }
}

/** Metadata of a module in a batch file, or of another tensor, which has no report. */
interface BatchEntry {
  readonly index: number;
  readonly form: Readonly<Record<string, string>>;
  readonly report?: ModuleReport | undefined;
}

const documentName = 'journal.json';

const batchName = ({ stage, block }: BatchKey): string => `stage-${String(stage)}-${block === undefined ? 'outside' : `block-${String(block)}`}`;
const fileName = (key: BatchKey): string => `${batchName(key)}.safetensors`;

async function readDocument(files: FileSystem, directory: string): Promise<JournalDocument | undefined> {
  try {
    const document = JSON.parse(await files.readText(files.path.join(directory, documentName))) as JournalDocument;
    return (document as { journal?: unknown }).journal === 1 ? document : undefined;
  } catch {
    // Absent, or a run died before it was written: either way there is nothing to continue.
    return undefined;
  }
}
