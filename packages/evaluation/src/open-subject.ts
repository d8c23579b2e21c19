import { pareError, type Architecture, type Artifact, type Backend, type FileSystem, type Format, type Logger, type Model } from '@pare/core';
import { artifactBytes, findArtifact, hashArtifact, hashModelFolder, openedSubject, type FoundArtifact, type Subject } from './subject.js';

/** What opening something to evaluate needs of the host. */
export interface SubjectContext {
  readonly log: Logger;
  readonly files: FileSystem;
  readonly cwd: string;
  readonly formats: readonly Format[];
  readonly architectures: readonly Architecture[];
  /** The backend, opened when it is first needed. */
  readonly backend: () => Promise<Backend>;
  readonly openModel: (model: string) => Promise<Model>;
  readonly signal: AbortSignal;
}

/** A model folder, an exported file, or a model that the caller opened. @throws PARE_ARTIFACT_UNKNOWN, and what opening a model throws */
export async function openSubject(target: string | Model, wanted: string | undefined, context: SubjectContext): Promise<Subject> {
  const { log, files, cwd, architectures, signal } = context;
  if (typeof target !== 'string') return openedSubject(target, await context.backend());
  const path = files.path.resolve(cwd, target);
  const exists = (await files.status(path).catch(() => undefined)) !== undefined;
  if (!exists && wanted !== undefined) throw pareError('PARE_ARTIFACT_UNKNOWN', { found: `"${wanted}" of ${target}`, known: [] });
  const found = exists ? await findArtifact(path, wanted, context) : undefined;
  if (found !== undefined) {
    if (found.file !== path && wanted === undefined) log.info(`${target} holds no weights but ${found.file}, which is evaluated`);
    const { describeModel } = await import('@pare/model');
    const model = await describeModel(found.directory, { architectures, files, signal, file: found.file, bytes: await artifactBytes(found) });
    return artifactSubject(found, model, signal);
  }
  const model = await context.openModel(target);
  const hash = once(() => hashModelFolder(model, signal));
  return {
    model,
    artifact: undefined,
    hash,
    open: async () => openedSubject(model, await context.backend()).open(),
    [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
  };
}

function artifactSubject(found: FoundArtifact, model: Model, signal: AbortSignal): Subject {
  let opened: Promise<Artifact> | undefined;
  return {
    model,
    artifact: { format: found.format, file: found.file },
    hash: once(() => hashArtifact(found, model.companionFiles, signal)),
    open: async () => ({ model, predictor: (await (opened ??= found.reader.open({ file: found.file, model, signal }))).predictor }),
    async [Symbol.asyncDispose]() {
      await (await opened?.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}

/** A function that works once and gives the same promise at every call. */
export function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => (result ??= work());
}
