import { pareError } from '@pare/core';

/** Named numbers that evaluators measured. */
export type Metrics = Readonly<Record<string, number>>;

/** One evaluator's share of a measurement. */
export interface EvaluationResultRecord {
  readonly evaluator: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly metrics: Metrics;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  /** True when it was not measured in that run but taken from an earlier one. */
  readonly cached: boolean;
}

/** A weight matrix that a stage changed. */
export interface ModuleOutcome {
  readonly module: string;
  readonly bits: number | undefined;
  /** Share of weights that were to be pruned. */
  readonly sparsity?: number | undefined;
  /** Inner width of the factors that it became. */
  readonly rank?: number | undefined;
  readonly loss: number | undefined;
  readonly fallback: string | undefined;
}

export interface StageOutcome {
  readonly technique: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly modules: readonly ModuleOutcome[];
}

export interface Fingerprint {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Where a result came from, as the manifest records it. */
export interface Provenance {
  readonly seed: number | undefined;
  readonly backend: string | undefined;
  readonly source: { readonly name: string; readonly files: readonly Fingerprint[] };
  readonly calibration: { readonly data: string; readonly sha256: string; readonly samples: number; readonly sequenceLength: number } | undefined;
  readonly plugins: readonly { readonly kind: string; readonly id: string; readonly package: string | undefined; readonly version: string | undefined }[];
  readonly files: readonly { readonly format: string; readonly path: string; readonly bytes: number }[];
}

/** A stored tensor by name, with its bytes in the file. */
export interface StoredTensor {
  readonly name: string;
  readonly bytes: number;
}

/** One thing to report on: an output folder, or a document of `--json`. */
export interface ResultInput {
  /** File or folder as the user named it. */
  readonly file: string;
  /** Short name for tables; made unique by `buildReport`. */
  readonly name: string;
  /** The folder or model that was measured, as the document names it. Results with one location are one run. */
  readonly location: string;
  /** `compressed`: the result of a recipe. `measured`: a model that was only measured. */
  readonly kind: 'compressed' | 'measured';
  readonly recipe: string | undefined;
  /** Name of the model that a recipe started from, where only that is known of it. */
  readonly source?: string | undefined;
  readonly stages: readonly StageOutcome[];
  readonly before: Metrics;
  readonly after: Metrics;
  readonly evaluations: readonly EvaluationResultRecord[];
  readonly provenance: Provenance | undefined;
  /** Tensors of the written weights, when they could be listed. */
  readonly tensors: readonly StoredTensor[] | undefined;
}

type Json = Readonly<Record<string, unknown>>;

/** Version of `pare.json` that is understood. */
const manifestVersion = 1;

/**
 * Reads a manifest (`pare.json`) or a document of `pare compress --json` or `pare evaluate --json`.
 * @param document the parsed JSON
 * @param file what the user named, for messages and as the name of the result
 * @param tensors the tensors beside a manifest, when they are known
 * @throws PARE_REPORT_INPUT_INVALID naming the first wrong field, PARE_REPORT_VERSION_UNKNOWN
 */
export function parseResult(document: unknown, file: string, tensors?: readonly StoredTensor[]): ResultInput {
  const reader = new Reader(file);
  const root = reader.record(document, 'the document');
  if ('pare' in root) {
    if (root['pare'] !== manifestVersion) {
      throw pareError('PARE_REPORT_VERSION_UNKNOWN', { file, found: JSON.stringify(root['pare']), known: String(manifestVersion) });
    }
    return fromManifest(root, reader, tensors);
  }
  if ('metricsBefore' in root) return fromCompression(root, reader);
  if ('model' in root && 'metrics' in root) return fromEvaluation(root, reader);
  return reader.refuse('it has neither "pare", nor "model" and "metrics"');
}

/** Reads what `parseResult` reads, or the document of several evaluations at once. */
export function parseResults(document: unknown, file: string): ResultInput[] {
  const reader = new Reader(file);
  const root = reader.record(document, 'the document');
  return 'results' in root ? reader.list(root['results'], 'results').map((result) => parseResult(result, file)) : [parseResult(document, file)];
}

function fromManifest(root: Json, reader: Reader, tensors: readonly StoredTensor[] | undefined): ResultInput {
  const recipe = reader.record(root['recipe'], 'recipe');
  const recipeStages = reader.list(recipe['stages'], 'recipe.stages').map((stage, index) => reader.record(stage, `recipe.stages[${String(index)}]`));
  const metrics = reader.record(root['metrics'], 'metrics');
  const source = reader.record(root['source'], 'source');
  const calibration = root['calibration'] === undefined ? undefined : reader.record(root['calibration'], 'calibration');
  return {
    file: reader.file,
    name: lastSegment(reader.file),
    location: reader.file,
    kind: 'compressed',
    recipe: reader.optionalText(recipe['name'], 'recipe.name'),
    stages: reader.list(root['stages'], 'stages').map((value, index) => {
      const at = `stages[${String(index)}]`;
      const stage = reader.record(value, at);
      return {
        technique: reader.text(stage['technique'], `${at}.technique`),
        options: reader.optionalRecord(recipeStages[index]?.['options'], `recipe.${at}.options`),
        modules: reader.list(stage['modules'], `${at}.modules`).map((item, position) => {
          const place = `${at}.modules[${String(position)}]`;
          const module = reader.record(item, place);
          return {
            module: reader.text(module['module'], `${place}.module`),
            bits: reader.optionalNumber(module['bits'], `${place}.bits`),
            sparsity: reader.optionalNumber(module['sparsity'], `${place}.sparsity`),
            rank: reader.optionalNumber(module['rank'], `${place}.rank`),
            loss: reader.optionalNumber(module['loss'], `${place}.loss`),
            fallback: reader.optionalText(module['fallback'], `${place}.fallback`),
          };
        }),
      };
    }),
    before: reader.metrics(metrics['before'], 'metrics.before'),
    after: reader.metrics(metrics['after'], 'metrics.after'),
    evaluations: [],
    provenance: {
      seed: reader.optionalNumber(root['seed'], 'seed'),
      backend: reader.optionalText(root['backend'], 'backend'),
      source: {
        name: reader.text(source['name'], 'source.name'),
        files: reader.list(source['files'], 'source.files').map((value, index) => {
          const at = `source.files[${String(index)}]`;
          const entry = reader.record(value, at);
          return { path: reader.text(entry['path'], `${at}.path`), bytes: reader.number(entry['bytes'], `${at}.bytes`), sha256: reader.text(entry['sha256'], `${at}.sha256`) };
        }),
      },
      calibration:
        calibration === undefined
          ? undefined
          : {
              data: reader.text(calibration['data'], 'calibration.data'),
              sha256: reader.text(calibration['sha256'], 'calibration.sha256'),
              samples: reader.number(calibration['samples'], 'calibration.samples'),
              sequenceLength: reader.number(calibration['sequenceLength'], 'calibration.sequenceLength'),
            },
      plugins: reader.list(root['plugins'], 'plugins').map((value, index) => {
        const at = `plugins[${String(index)}]`;
        const plugin = reader.record(value, at);
        return {
          kind: reader.text(plugin['kind'], `${at}.kind`),
          id: reader.text(plugin['id'], `${at}.id`),
          package: reader.optionalText(plugin['package'], `${at}.package`),
          version: reader.optionalText(plugin['version'], `${at}.version`),
        };
      }),
      files: reader.list(root['formats'], 'formats').flatMap((value, index) => {
        const at = `formats[${String(index)}]`;
        const format = reader.record(value, at);
        const id = reader.text(format['id'], `${at}.id`);
        return reader.list(format['files'], `${at}.files`).map((item, position) => {
          const entry = reader.record(item, `${at}.files[${String(position)}]`);
          return { format: id, path: reader.text(entry['path'], `${at}.files.path`), bytes: reader.number(entry['bytes'], `${at}.files.bytes`) };
        });
      }),
    },
    tensors,
  };
}

function fromCompression(root: Json, reader: Reader): ResultInput {
  const location = reader.text(root['output'], 'output');
  return {
    file: reader.file,
    name: lastSegment(location),
    location,
    kind: 'compressed',
    recipe: undefined,
    stages: reader.list(root['stages'], 'stages').map((value, index) => {
      const at = `stages[${String(index)}]`;
      return { technique: reader.text(reader.record(value, at)['technique'], `${at}.technique`), options: {}, modules: [] };
    }),
    before: reader.metrics(root['metricsBefore'], 'metricsBefore'),
    after: reader.metrics(root['metrics'], 'metrics'),
    evaluations: [],
    provenance: undefined,
    tensors: undefined,
  };
}

function fromEvaluation(root: Json, reader: Reader): ResultInput {
  const evaluations = root['evaluations'] === undefined ? [] : reader.list(root['evaluations'], 'evaluations');
  const model = reader.text(root['model'], 'model');
  const artifact = reader.optionalText(root['artifact'], 'artifact');
  const recipe = root['recipe'] === undefined ? undefined : reader.record(root['recipe'], 'recipe');
  const recipeName = recipe && (reader.optionalText(recipe['name'], 'recipe.name') ?? 'recipe');
  return {
    file: reader.file,
    name: recipeName !== undefined ? `${lastSegment(model)} + ${lastSegment(recipeName)}` : artifact === undefined ? lastSegment(model) : artifactName(artifact),
    location: recipe === undefined ? (artifact ?? model) : `${model} + ${JSON.stringify(recipe)}`,
    kind: recipe === undefined ? 'measured' : 'compressed',
    recipe: recipeName,
    source: recipe && lastSegment(model),
    stages:
      recipe === undefined
        ? []
        : reader.list(recipe['stages'], 'recipe.stages').map((value, index) => {
            const at = `recipe.stages[${String(index)}]`;
            const stage = reader.record(value, at);
            return { technique: reader.text(stage['technique'], `${at}.technique`), options: reader.optionalRecord(stage['options'], `${at}.options`), modules: [] };
          }),
    before: {},
    after: reader.metrics(root['metrics'], 'metrics'),
    evaluations: evaluations.map((value, index) => {
      const at = `evaluations[${String(index)}]`;
      const record = reader.record(value, at);
      return {
        evaluator: reader.text(record['evaluator'], `${at}.evaluator`),
        options: reader.optionalRecord(record['options'], `${at}.options`),
        metrics: reader.metrics(record['metrics'] ?? {}, `${at}.metrics`),
        details: record['details'] === undefined ? undefined : reader.record(record['details'], `${at}.details`),
        cached: record['cached'] === true,
      };
    }),
    provenance: undefined,
    tensors: undefined,
  };
}

/** Folder and file, without the folder between them that only says the format: `small/model_q4.onnx`. */
function artifactName(path: string): string {
  const parts = path.split(/[\\/]/).filter((part) => part !== '' && part !== '.');
  const [file = path] = parts.splice(-1);
  return [...parts.filter((part) => part !== 'onnx').slice(-1), file].join('/');
}

/** Last part of a path or hub name, which is what people call a model. */
export function lastSegment(path: string): string {
  return path.split(/[\\/]/).filter((part) => part !== '' && part !== '.').at(-1) ?? path;
}

/** Takes values of known types out of a document. All methods throw PARE_REPORT_INPUT_INVALID. */
class Reader {
  readonly file: string;

  constructor(file: string) {
    this.file = file;
  }

  refuse(problem: string): never {
    throw pareError('PARE_REPORT_INPUT_INVALID', { file: this.file, problem });
  }

  record(value: unknown, path: string): Json {
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : this.refuse(`${path} is no object`);
  }

  optionalRecord(value: unknown, path: string): Json {
    return value === undefined ? {} : this.record(value, path);
  }

  list(value: unknown, path: string): readonly unknown[] {
    return Array.isArray(value) ? value : this.refuse(`${path} is no list`);
  }

  text(value: unknown, path: string): string {
    return typeof value === 'string' ? value : this.refuse(`${path} is no text`);
  }

  optionalText(value: unknown, path: string): string | undefined {
    return value === undefined ? undefined : this.text(value, path);
  }

  number(value: unknown, path: string): number {
    return typeof value === 'number' && Number.isFinite(value) ? value : this.refuse(`${path} is no finite number`);
  }

  /** A number that JSON may have turned into null because it was not finite. */
  optionalNumber(value: unknown, path: string): number | undefined {
    return value === undefined || value === null ? undefined : this.number(value, path);
  }

  /** Numbers by name. JSON writes those that are not finite as null; they were not measured then. */
  metrics(value: unknown, path: string): Metrics {
    const entries = Object.entries(this.record(value, path)).filter(([, metric]) => metric !== null);
    return Object.fromEntries(entries.map(([name, metric]) => [name, this.number(metric, `${path}.${name}`)]));
  }
}
