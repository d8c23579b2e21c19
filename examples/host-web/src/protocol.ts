/** What the page and its worker say to each other. Everything here survives structured cloning. */

export interface Preset {
  readonly id: string;
  readonly title: string;
  readonly summary: string;
  /** True when it needs a calibration text. */
  readonly calibrated: boolean;
}

export interface BackendChoice {
  readonly id: string;
  readonly title: string;
  readonly score: number;
  readonly reason: string;
  /** True for the one that `auto` takes. */
  readonly chosen: boolean;
}

export interface Catalogue {
  readonly presets: readonly Preset[];
  readonly backends: readonly BackendChoice[];
  /** Where results lie: on disk, or in memory where the browser has no private storage. */
  readonly storage: 'disk' | 'memory';
}

export interface ModelFacts {
  readonly name: string;
  readonly architecture: string;
  readonly modelType: string;
  readonly parameters: number;
  readonly bytes: number;
  readonly bitsPerWeight: number;
  readonly blocks: number;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  readonly maxPositions: number;
  /** Without one nothing can be calibrated, measured or written. */
  readonly tokenizer: boolean;
  /** True when matrices are quantized already. */
  readonly compressed: boolean;
}

/** A text: a file that was chosen, or the address of one that comes with the page. */
export type TextChoice = File | string;

export interface Settings {
  readonly preset: string;
  /** `technique.option=value`. */
  readonly set: readonly string[];
  readonly backend: string;
  readonly calibration: TextChoice;
  readonly samples: number;
  readonly sequenceLength: number;
  readonly evaluation: TextChoice;
  readonly evaluationSamples: number;
  readonly prompt: string;
  readonly newTokens: number;
}

export interface PlanFacts {
  readonly backend: string;
  readonly modules: number;
  readonly outputBytes: number;
  readonly bitsPerWeight: number;
  readonly peakMemoryBytes: number;
  readonly diskBytes: number;
  readonly seconds: number;
}

export const steps = ['write-before', 'measure-before', 'compress', 'save', 'measure-after', 'write-after'] as const;
export type Step = (typeof steps)[number];

/** Told while a run goes on. */
export type RunEvent =
  | { readonly kind: 'step'; readonly step: Step }
  | { readonly kind: 'progress'; readonly step: Step; readonly fraction: number; readonly detail: string }
  | { readonly kind: 'layer'; readonly stage: string; readonly layer: number; readonly layers: number; readonly loss: number | undefined; readonly seconds: number; readonly restored: boolean }
  | { readonly kind: 'text'; readonly step: Step; readonly text: string }
  | { readonly kind: 'memory'; readonly device: number; readonly devicePeak: number; readonly heap: number | undefined }
  | { readonly kind: 'warning'; readonly message: string };

export interface Outcome {
  readonly name: string;
  readonly backend: string;
  readonly seconds: number;
  readonly before: Readonly<Record<string, number>>;
  readonly after: Readonly<Record<string, number>>;
  readonly textBefore: string | undefined;
  readonly textAfter: string | undefined;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly fallbacks: readonly { readonly module: string; readonly reason: string }[];
}

/** Calls that the page makes, with arguments and results. */
export interface Calls {
  start(session: number): Promise<Catalogue>;
  open(name: string, files: readonly (readonly [path: string, content: Blob])[]): Promise<ModelFacts>;
  plan(settings: Settings): Promise<PlanFacts>;
  compress(settings: Settings): Promise<Outcome>;
  cancel(): Promise<void>;
  /** The result as one zip file. */
  zip(): Promise<Blob>;
  /** Writes the result into a folder that the user picked. */
  saveTo(folder: FileSystemDirectoryHandle): Promise<void>;
}

/** An error of the catalogue, or a defect. */
export interface Failure {
  readonly code: string | undefined;
  readonly message: string;
  readonly help: string | undefined;
}

export interface ToWorker {
  readonly call: number;
  readonly name: keyof Calls;
  readonly values: readonly unknown[];
}

export type FromWorker =
  | { readonly call: number; readonly result: unknown }
  | { readonly call: number; readonly failure: Failure }
  | { readonly event: RunEvent };
