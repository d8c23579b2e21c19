import type { FileSystem } from './files.js';
import type { Model, ModelSummary } from './model.js';
import type { Predictor } from './predictor.js';
import type { OptionsSchema } from './options.js';
import type { PluginContext, PluginIdentity } from './plugin.js';
import type { ModulePlan } from './technique.js';
import type { WeightFormKind } from './weights.js';

/** Why a format cannot write a module as planned. */
export interface FormatRefusal {
  readonly module: string;
  readonly reason: string;
  readonly help: string;
}

export interface WrittenFile {
  /** Relative to the output folder. */
  readonly path: string;
  readonly bytes: number;
}

export interface FormatContext<O> extends PluginContext {
  /** The model to write: quantized weights in their compressed forms, the rest dense. */
  readonly model: Model;
  readonly options: O;
  /** An existing folder that becomes the output when everything succeeded. Formats write side by side into it. */
  readonly directory: string;
  /** The files that the folder is among; the model's own are `model.files`. */
  readonly files: FileSystem;
}

/** What reading back found. */
export interface VerificationResult {
  readonly tensors: number;
  /** Largest absolute difference between what was written and what the model holds. */
  readonly largestDifference: number;
}

/** A file of this format that can be opened, such as one of several precisions. */
export interface ArtifactFile {
  /** Absolute. */
  readonly file: string;
  /** Short name among those of its folder: `q4`. */
  readonly name: string;
}

export interface ArtifactRequest {
  readonly file: string;
  /** The model that it is of, by the folder's configuration. Holds no weights. */
  readonly model: ModelSummary;
  readonly signal: AbortSignal;
}

/** An opened artefact. */
export interface Artifact extends AsyncDisposable {
  readonly predictor: Predictor;
}

/** How files of a format are run as what they are, for evaluation. */
export interface ArtifactReader {
  /** Ends of the names of its files: `.onnx`. */
  readonly extensions: readonly string[];
  /** The folder whose configuration and tokenizer go with a file. */
  folderOf(file: string, files: FileSystem): string;
  /** What a folder has, what to take by default first. */
  find(directory: string, files: FileSystem): Promise<readonly ArtifactFile[]>;
  /** Every file that an artefact consists of, absolute: their content decides what it predicts. */
  filesOf(file: string, files: FileSystem): Promise<readonly string[]>;
  /** @throws PARE_ONNX_UNUSABLE and the like */
  open(request: ArtifactRequest): Promise<Artifact>;
}

export interface FormatDefinition<O> extends PluginIdentity {
  readonly options: OptionsSchema<O>;
  /** Forms this format can write. */
  readonly accepts: readonly WeightFormKind[];
  /** For formats whose files can be evaluated as they are. */
  readonly artifacts?: ArtifactReader | undefined;
  /** What cannot be written, before anything runs. `plans` has an entry for every module that the recipe changes; the others stay as they are. */
  refuse(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>, options: O): readonly FormatRefusal[];
  /** What a user should know about the result before anything runs, one sentence each: what is written larger or slower than it could be. Kept in `pare.json`. */
  notes?(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>, options: O): readonly string[];
  /** Writes the files and returns them. */
  write(context: FormatContext<O>): Promise<readonly WrittenFile[]>;
  /** Reads the written bytes back with code independent of the writer and compares. @throws PARE_VERIFICATION_FAILED */
  verify(context: FormatContext<O>, files: readonly WrittenFile[]): Promise<VerificationResult>;
}

export interface Format<O = unknown> extends FormatDefinition<O> {
  readonly $$type: '@pare/format';
}

/** Defines an output format. */
export function defineFormat<O>(definition: FormatDefinition<O>): Format<O> {
  return { ...definition, $$type: '@pare/format' };
}
