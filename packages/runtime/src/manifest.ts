import type { Evaluator, FileSystem, Model } from '@pare/core';
import { hashFile } from '@pare/platform';
import { sparsityPatternText } from '@pare/weights';
import type { Calibration } from './compress.js';
import type { FormatResult, LoadedPlugin, Manifest } from './host-types.js';
import type { ModelLibrary } from './model-library.js';
import { manifestName } from './output-folder.js';
import type { PreparedEvaluation } from './evaluations.js';
import type { Preparation } from './prepare.js';
import type { StageOutcome } from './stage-runner.js';

export interface ManifestParts {
  readonly preparation: Preparation;
  readonly model: Model;
  /** The model as the request named it. */
  readonly modelName: string;
  readonly hashes: Pick<Calibration, 'textHash' | 'promptsHash'>;
  /** The model's files, by `hashSource`. */
  readonly source: Manifest['source']['files'];
  readonly seed: number;
  readonly backend: string;
  readonly plugins: readonly LoadedPlugin[];
  readonly evaluation: PreparedEvaluation | undefined;
  readonly outcomes: readonly StageOutcome[];
  readonly formats: readonly FormatResult[];
  readonly before: Readonly<Record<string, number>>;
  readonly after: Readonly<Record<string, number>>;
}

/** Size and SHA-256 of every file of the source. @throws PARE_ABORTED */
export async function hashSource(model: Model, library: ModelLibrary, signal: AbortSignal): Promise<Manifest['source']['files']> {
  const files: Manifest['source']['files'][number][] = [];
  for (const path of await library.modelFileNames(model)) files.push({ path, ...(await hashFile(model.files, model.files.path.join(model.directory, path), signal)) });
  return files;
}

/** The record of a run. Nothing in it differs between two runs with equal inputs: no times, no paths of this machine. */
export function createManifest(parts: ManifestParts): Manifest {
  const { preparation, model, outcomes } = parts;
  const { calibration, prompts, recipe, stages, formats } = preparation;
  return {
    pare: 1,
    recipe,
    seed: parts.seed,
    source: { name: parts.modelName, files: parts.source },
    calibration:
      calibration === undefined
        ? undefined
        : { data: model.files.path.basename(calibration.source.name), sha256: parts.hashes.textHash!, samples: calibration.samples, sequenceLength: calibration.sequenceLength },
    ...(prompts === undefined ? {} : { prompts: { data: model.files.path.basename(prompts.name), sha256: parts.hashes.promptsHash! } }),
    backend: parts.backend,
    plugins: usedPlugins(parts, [
      ...stages.map(({ technique }) => `technique:${technique.id}`),
      ...formats.map(({ plugin }) => `format:${plugin.id}`),
      ...(parts.evaluation?.evaluators ?? []).map(({ plugin }: { plugin: Evaluator }) => `evaluator:${plugin.id}`),
      `backend:${parts.backend}`,
    ]),
    stages: stages.map(({ technique, targets, plans }, index) => ({
      technique: technique.id,
      modules: targets.map(({ info }) => {
        const report = outcomes[index]!.reports.get(info.name);
        const { bits, sparsity, rank } = { ...plans.get(info.name)!, ...report?.became };
        const zeros = sparsity === undefined ? {} : { pattern: sparsityPatternText(sparsity.pattern), sparsity: sparsity.pruned / (info.shape[0] * info.shape[1]) };
        return { module: info.name, bits, ...zeros, ...(rank === undefined ? {} : { rank }), loss: report?.loss, fallback: report?.fallback };
      }),
    })),
    formats: parts.formats,
    metrics: { before: parts.before, after: parts.after },
  };
}

function usedPlugins({ plugins, model }: ManifestParts, used: readonly string[]): Manifest['plugins'] {
  const { modelType } = model.description;
  const taken = plugins.filter(
    ({ kind, id, plugin }) => used.includes(`${kind}:${id}`) || (plugin.$$type === '@pare/architecture' && plugin.modelTypes.includes(modelType)),
  );
  return taken
    .map(({ id, kind, package: name, version }) => ({ id, kind, package: name, version }))
    .sort((a, b) => (`${a.kind} ${a.id}` < `${b.kind} ${b.id}` ? -1 : 1));
}

export async function writeManifest(files: FileSystem, directory: string, manifest: Manifest): Promise<void> {
  await files.writeText(files.path.join(directory, manifestName), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/** The manifest of a folder, or undefined when Pare did not write it. */
export async function readManifest(files: FileSystem, directory: string): Promise<Manifest | undefined> {
  try {
    const manifest = JSON.parse(await files.readText(files.path.join(directory, manifestName))) as Manifest;
    return (manifest as { pare?: unknown }).pare === 1 ? manifest : undefined;
  } catch {
    return undefined;
  }
}
