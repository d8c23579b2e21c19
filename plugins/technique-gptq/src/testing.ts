import type {
  Backend,
  CapabilityRef,
  DeviceTensor,
  GramMatrix,
  HostTensor,
  Model,
  ModuleHandle,
  ModuleInfo,
  ModuleReport,
  Progress,
  StatisticRef,
  TechniqueContext,
  WeightForm,
  WorkFolder,
} from '@pare/core';
import { SafetensorsFile } from '@pare/model';
import path from 'node:path';
import { gptqOptions, type GptqOptions } from './options.js';

/** Every tensor of one of the golden files. */
export async function readGolden(name: string): Promise<(tensor: string) => HostTensor> {
  await using file = await SafetensorsFile.open(path.join(import.meta.dirname, '../../../packages/testkit/fixtures/golden', `${name}.safetensors`));
  const tensors = new Map<string, HostTensor>();
  for (const tensor of file.names) tensors.set(tensor, await file.read(tensor));
  return (tensor) => {
    const found = tensors.get(tensor);
    if (found === undefined) throw new Error(`${name} has no tensor ${tensor}`);
    return found;
  };
}

export function options(changes: Partial<GptqOptions> = {}): GptqOptions {
  return gptqOptions.parse(changes);
}

export function moduleInfo(name: string, shape: readonly [number, number], changes: Partial<ModuleInfo> = {}): ModuleInfo {
  return {
    name,
    kind: 'linear',
    role: 'attention.query',
    block: 0,
    expert: undefined,
    step: 0,
    shape,
    layout: 'out-in',
    dtype: 'float32',
    bias: false,
    sharedWith: undefined,
    form: 'dense',
    ...changes,
  };
}

export interface TestModule {
  readonly info: ModuleInfo;
  readonly options: GptqOptions;
  readonly weight: Float32Array;
  readonly gram: GramMatrix;
}

/** A Gram matrix as calibration hands it over: a tensor that only the backend can read. */
export function gramMatrix(values: Float32Array | Float64Array, rows: number): GramMatrix {
  const size = Math.sqrt(values.length);
  return { matrix: new TestTensor(values, [size, size]), rows };
}

class TestTensor implements DeviceTensor {
  readonly dtype: 'float32' | 'float64';
  readonly byteLength: number;
  readonly disposed = false;
  readonly values: Float32Array | Float64Array;
  readonly shape: readonly number[];

  constructor(values: Float32Array | Float64Array, shape: readonly number[]) {
    this.values = values;
    this.shape = shape;
    this.dtype = values instanceof Float32Array ? 'float32' : 'float64';
    this.byteLength = values.byteLength;
  }

  [Symbol.dispose](): void {
    throw new Error('the host owns statistics');
  }
}

export interface TestRun {
  readonly context: TechniqueContext<GptqOptions>;
  readonly results: Map<string, { form: WeightForm; report: ModuleReport }>;
  readonly events: string[];
}

/** A context over plain arrays; `events` notes what the technique did in order. */
export function testContext(modules: readonly TestModule[], settings: { signal?: AbortSignal; capability?: unknown } = {}): TestRun {
  const results: TestRun['results'] = new Map();
  const events: string[] = [];
  const handles = modules.map(({ info, options: moduleOptions, weight, gram }): ModuleHandle<GptqOptions> => ({
    info,
    options: moduleOptions,
    weight() {
      events.push(`weight ${info.name}`);
      return Promise.resolve({ dtype: 'float32', shape: info.shape, data: weight.slice() });
    },
    form() {
      events.push(`form ${info.name}`);
      return Promise.resolve({ form: 'dense', shape: info.shape, tensor: { dtype: 'float32', shape: info.shape, data: weight.slice() } });
    },
    statistic: <T>(_ref: StatisticRef<T>) => Promise.resolve(gram as T),
    replace(form, report = {}) {
      events.push(`replace ${info.name}`);
      results.set(info.name, { form, report });
      return Promise.resolve();
    },
  }));
  const backend = {
    id: 'test',
    read(tensor: DeviceTensor) {
      events.push(`read ${tensor.shape.join('x')}`);
      return Promise.resolve({ dtype: tensor.dtype, shape: tensor.shape, data: (tensor as TestTensor).values.slice() });
    },
    capability: <T>(_ref: CapabilityRef<T>) => settings.capability as T | undefined,
  };
  const progress: Progress = { report: ({ completed, total }) => events.push(`progress ${String(completed)}/${String(total)}`) };
  const silent = (): void => undefined;
  const context: TechniqueContext<GptqOptions> = {
    log: { debug: silent, info: silent, warn: silent, error: silent },
    signal: settings.signal ?? new AbortController().signal,
    seed: 0,
    progress,
    backend: backend as unknown as Backend,
    services: {},
    model: {} as Model,
    original: {} as Model,
    windows: [],
    modules: handles,
    targets: handles,
    parameters: [],
    prompts: undefined,
    tokenizer: () => Promise.reject(new Error('no tokenizer here')),
    trials: undefined,
    work: {} as WorkFolder,
    remove: () => Promise.reject(new Error('no structure')),
    block: { index: 0, count: 1, name: 'layers.0' },
  };
  return { context, results, events };
}
