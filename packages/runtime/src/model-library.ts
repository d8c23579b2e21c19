import type { Architecture, Backend, HostTensor, Model, StatisticRef, TextSource, Tokenizer, WeightForm } from '@pare/core';

/** Hidden states of the calibration windows, on the backend or spilled to disk. */
export interface HiddenStates extends AsyncDisposable {
  readonly windows: number;
}

export interface CollectedStatistics extends Disposable {
  get<T>(module: string, ref: StatisticRef<T>): T;
}

export interface StatisticRequest {
  readonly module: string;
  readonly statistics: readonly StatisticRef<unknown>[];
}

export interface BlockRunner extends AsyncDisposable {
  embed(windows: readonly Int32Array[]): Promise<HiddenStates>;
  collect(block: number, hidden: HiddenStates, requests: readonly StatisticRequest[], source?: Model): Promise<CollectedStatistics>;
  advance(block: number, hidden: HiddenStates, source?: Model): Promise<void>;
}

export interface OpenedTensorFile extends AsyncDisposable {
  readonly metadata: Readonly<Record<string, string>>;
  readonly names: readonly string[];
  read(name: string): Promise<HostTensor>;
}

/** The parts of @pare/model that the host uses. */
export interface ModelLibrary {
  openModel(directory: string, options: { architectures: readonly Architecture[]; signal?: AbortSignal }): Promise<Model>;
  resolveModel(
    name: string,
    options: {
      cacheDirectory?: string;
      cwd?: string;
      endpoint?: string;
      signal?: AbortSignal;
      onProgress?: (state: { file: string; bytes: number; totalBytes: number | undefined }) => void;
    },
  ): Promise<string>;
  overlayModel(base: Model, replaced: ReadonlyMap<string, () => Promise<WeightForm>>): Model;
  openTokenizer(directory: string): Promise<Tokenizer>;
  fileText(path: string): TextSource;
  tokenWindows(tokenizer: Tokenizer, source: TextSource, options: { samples: number; sequenceLength: number }): Promise<Int32Array[]>;
  createBlockRunner(options: { model: Model; backend: Backend; signal?: AbortSignal; spillBytes?: number }): BlockRunner;
  writeSafetensors(path: string, entries: Iterable<{ name: string; dtype: HostTensor['dtype']; shape: readonly number[]; read(): Promise<HostTensor> }>, metadata?: Readonly<Record<string, string>>): Promise<unknown>;
  readonly SafetensorsFile: { open(path: string): Promise<OpenedTensorFile> };
}

/** Loads @pare/model, which is large, when it is first needed. */
export async function loadModelLibrary(): Promise<ModelLibrary> {
  return (await import('@pare/model')) as unknown as ModelLibrary;
}
