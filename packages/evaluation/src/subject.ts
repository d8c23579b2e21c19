import { pareError, type Backend, type EvaluatedArtifact, type FileSystem, type Format, type Model, type Predictor } from '@pare/core';
import { sha256 } from '@pare/platform';
import { blockPredictor } from './block-predictor.js';
import { hashFiles } from './content-hash.js';

/** What evaluators get to see. */
export interface OpenSubject {
  readonly model: Model;
  readonly predictor: Predictor;
}

/** Something to evaluate. Opening may take long (a recipe runs then), and does not happen when all results were computed before. */
export interface Subject extends AsyncDisposable {
  /** Hash of everything that its predictions follow from; undefined when that is not known, as for a model that the caller opened. */
  hash(): Promise<string | undefined>;
  open(): Promise<OpenSubject>;
  /** What is known before it is opened. Weights of a recipe's result are computed when one is read. */
  readonly model: Model;
  readonly artifact: EvaluatedArtifact | undefined;
}

/** A model that somebody opened and will close. Its content is not known: weights may have been replaced. */
export function openedSubject(model: Model, backend: Backend): Subject {
  const opened = { model, predictor: blockPredictor({ model, backend }) };
  return { model, artifact: undefined, hash: () => Promise.resolve(undefined), open: () => Promise.resolve(opened), [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** A subject's predictor that opens it when it is first used. */
export function lazyPredictor({ open }: Pick<Subject, 'open'>): Predictor {
  const predictor = async (): Promise<Predictor> => (await open()).predictor;
  return {
    negativeLogLikelihood: async (...call) => (await predictor()).negativeLogLikelihood(...call),
    scoreContinuations: async (...call) => (await predictor()).scoreContinuations(...call),
    generate: async (request) => (await predictor()).generate(request),
    async *logits(...call) {
      yield* (await predictor()).logits(...call);
    },
  };
}

/** Hash of a model folder's content: configuration, weights, tokenizer. */
export async function hashModelFolder({ files, directory, companionFiles }: Model, signal?: AbortSignal): Promise<string> {
  const names = (await files.list(directory)).map(({ name }) => name).filter((name) => name === 'config.json' || name.endsWith('.safetensors') || name.endsWith('.safetensors.index.json'));
  return sha256(JSON.stringify(await hashFiles(files, directory, [...new Set([...names, ...companionFiles])].sort(), signal)));
}

/** An artefact that was found, not opened yet. */
export interface FoundArtifact extends EvaluatedArtifact {
  /** Folder with the configuration and the tokenizer. */
  readonly directory: string;
  readonly reader: NonNullable<Format['artifacts']>;
  readonly files: FileSystem;
}

/**
 * The artefact that a path means: the file itself; of a folder the one that `wanted` names (a format, or a precision such as `q4`), or, where the folder has no weights that could be
 * evaluated, what it has. Undefined for a folder of weights.
 *
 * @param path absolute, existing
 * @throws PARE_ARTIFACT_UNKNOWN saying what there is
 */
export async function findArtifact(path: string, wanted: string | undefined, { files, formats }: { readonly files: FileSystem; readonly formats: readonly Format[] }): Promise<FoundArtifact | undefined> {
  const readers = formats.flatMap(({ id, artifacts }) => (artifacts === undefined ? [] : [{ id, reader: artifacts }]));
  if ((await files.status(path))?.kind === 'file') {
    const found = readers.find(({ reader }) => reader.extensions.includes(files.path.extname(path)));
    if (found === undefined) throw pareError('PARE_ARTIFACT_UNKNOWN', { found: path, known: readers.flatMap(({ reader }) => reader.extensions.map((extension) => `files *${extension}`)) });
    return { format: found.id, file: path, directory: found.reader.folderOf(path, files), reader: found.reader, files };
  }
  if (wanted === undefined && (await files.list(path)).some(({ name }) => name.endsWith('.safetensors'))) return undefined;
  const known: (FoundArtifact & { readonly name: string })[] = [];
  for (const { id, reader } of readers) for (const { file, name } of await reader.find(path, files)) known.push({ format: id, file, directory: path, reader, files, name });
  const found = known.find(({ format, name, file }) => wanted === undefined || wanted === format || wanted === name || wanted === files.path.basename(file));
  if (found === undefined && wanted !== undefined) {
    throw pareError('PARE_ARTIFACT_UNKNOWN', { found: `"${wanted}" of ${path}`, known: known.map(({ name, file }) => `${name} (${files.path.basename(file)})`) });
  }
  return found;
}

/** Bytes of all files of an artefact. */
export async function artifactBytes({ reader, file, files }: FoundArtifact): Promise<number> {
  const sizes = await Promise.all((await reader.filesOf(file, files)).map(async (part) => (await files.status(part))?.bytes ?? 0));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Hash of an artefact's content: its files, and the configuration and tokenizer of its folder. */
export async function hashArtifact({ reader, file, directory, files }: FoundArtifact, companionFiles: readonly string[], signal?: AbortSignal): Promise<string> {
  const { basename, dirname } = files.path;
  const parts = [];
  for (const part of await reader.filesOf(file, files)) parts.push(...(await hashFiles(files, dirname(part), [basename(part)], signal)));
  return sha256(JSON.stringify([parts, await hashFiles(files, directory, ['config.json', ...companionFiles].sort(), signal)]));
}
