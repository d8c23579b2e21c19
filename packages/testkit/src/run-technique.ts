import {
  createTensorScope,
  float32Tensor,
  pareError,
  type Backend,
  type DeviceTensor,
  type HostTensor,
  type Model,
  type ModuleHandle,
  type ModuleInfo,
  type ModulePlan,
  type ModuleReport,
  type StatisticRef,
  type Technique,
  type WeightForm,
  type WorkFolder,
} from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { isStatistic, type Statistic } from '@pare/model';
import { parseOptions } from '@pare/runtime';
import { denseFloat32 } from '@pare/weights';

/** A linear layer by itself. */
export interface LoneModule {
  /** [out, in] float32. */
  readonly weight: HostTensor & { readonly data: Float32Array };
  /** What a stage before made of the weight, with what it promised; the weight as it is by default. */
  readonly form?: WeightForm;
  readonly before?: ModulePlan;
  /** Calibration inputs [rows, in] float32; without them, or with no rows, statistics are those of an input that was never seen. */
  readonly inputs?: HostTensor;
  /** Statistics by id that are at hand already, instead of those of the inputs. They stay the caller's. */
  readonly statistics?: Readonly<Record<string, unknown>>;
}

export interface LoneRun<O> {
  /** As a recipe writes them: the technique's schema checks them and fills in defaults. Options that were parsed before stay what they are. */
  readonly options?: O | Partial<O>;
  readonly modules: Readonly<Record<string, LoneModule>>;
  readonly backend: Backend;
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

/** What a technique made of a module. */
export interface LoneResult {
  readonly form: WeightForm;
  readonly report: ModuleReport;
}

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * Applies a technique to linear layers without a model: weights and inputs in, forms out. Statistics are computed by their own definitions on the backend and
 * freed at the end. `context.model` holds the weights and nothing else: no block is described, there is nothing beside the layers to adjust, and no trials.
 * @throws PARE_OPTIONS_INVALID, PARE_STATISTIC_UNDECLARED
 */
export async function runTechnique<O>(technique: Technique<O>, run: LoneRun<O>): Promise<Map<string, LoneResult>> {
  const { backend } = run;
  const options = (await parseOptions(`technique "${technique.id}"`, technique.options, run.options ?? {})) as O;
  const signal = run.signal ?? new AbortController().signal;
  const results = new Map<string, LoneResult>();
  const disposals: (() => void)[] = [];
  const handles = Object.entries(run.modules).map(([name, { weight, inputs, form, before, statistics: given }], index): ModuleHandle<O> => {
    const info = loneInfo(name, weight, index);
    const statistics = new Map<string, Promise<unknown>>();
    return {
      info,
      options,
      before,
      weight: () => Promise.resolve(float32Tensor(weight.shape, weight.data.slice())),
      form: () => Promise.resolve(form ?? { form: 'dense', shape: weight.shape, tensor: weight }),
      statistic<T>(ref: StatisticRef<T>): Promise<T> {
        const declared = (technique.statistics?.(options) ?? []).map(({ id }) => id);
        if (!declared.includes(ref.id)) throw pareError('PARE_STATISTIC_UNDECLARED', { plugin: `technique "${technique.id}"`, module: name, statistic: ref.id, declared });
        if (given !== undefined && ref.id in given) return Promise.resolve(given[ref.id] as T);
        let value = statistics.get(ref.id);
        if (value === undefined) {
          if (!isStatistic(ref)) throw new Error(`statistic "${ref.id}" has no definition`);
          const statistic: Statistic<unknown> = ref;
          value = computeStatistic(statistic, backend, info.shape[1], inputs, signal).then((made) => {
            disposals.push(() => statistic.dispose?.(made));
            return made;
          });
          statistics.set(ref.id, value);
        }
        return value as Promise<T>;
      },
      replace(form, report = {}) {
        if (results.has(name)) throw new Error(`${name} was replaced twice`);
        results.set(name, { form, report });
        return Promise.resolve();
      },
    };
  });
  try {
    await technique.apply({
      log: silent,
      signal,
      seed: run.seed ?? 0,
      progress: { report: () => undefined },
      backend,
      services: {},
      model: { name: 'lone modules', description: { blocks: [] }, denseWeight: (module: string) => Promise.resolve(run.modules[module]!.weight) } as unknown as Model,
      original: undefined as unknown as Model,
      windows: [],
      prompts: undefined,
      tokenizer: () => Promise.reject(new Error('lone modules have no tokenizer')),
      modules: handles,
      targets: handles,
      parameters: [],
      trials: undefined,
      work: undefined as unknown as WorkFolder,
      remove: () => Promise.reject(new Error('lone modules have no structure')),
      block: technique.scope === 'block' ? { index: 0, count: 1, name: 'block' } : undefined,
    });
  } finally {
    for (const dispose of disposals.reverse()) dispose();
  }
  return results;
}

/** Squared error Σ ‖(W − Ŵ) x‖² of a result over a module's inputs. */
export function outputError(form: WeightForm, { weight, inputs }: LoneModule): number {
  if (form.form === 'shared' || inputs === undefined) throw new Error('needs inputs and a weight of its own');
  const [rows, columns] = weight.shape as [number, number];
  const after = denseFloat32(form);
  const data = inputs.data as Float32Array;
  let total = 0;
  for (let sample = 0; sample < inputs.shape[0]!; sample++) {
    for (let row = 0; row < rows; row++) {
      let difference = 0;
      for (let column = 0; column < columns; column++) difference += (weight.data[row * columns + column]! - after[row * columns + column]!) * data[sample * columns + column]!;
      total += difference * difference;
    }
  }
  return total;
}

function loneInfo(name: string, weight: HostTensor, step: number): ModuleInfo {
  return {
    name,
    kind: 'linear',
    role: 'mlp.up',
    block: 0,
    expert: undefined,
    step,
    shape: [weight.shape[0]!, weight.shape[1]!],
    layout: 'out-in',
    dtype: 'float32',
    bias: false,
    sharedWith: undefined,
    form: 'dense',
  };
}

async function computeStatistic<T>(statistic: Statistic<T>, backend: Backend, inFeatures: number, inputs: HostTensor | undefined, signal: AbortSignal): Promise<T> {
  using scope = createTensorScope();
  let state: DeviceTensor[] = statistic.state(inFeatures).map(({ dtype, shape }) => scope.own(backend.allocate(dtype, shape)));
  const rows = inputs?.shape[0] ?? 0;
  if (inputs !== undefined && rows > 0) {
    const builder = new GraphBuilder(`statistic ${statistic.id}`);
    const input = builder.input('rows', 'float32', [rows, inFeatures]);
    const before = statistic.state(inFeatures).map(({ dtype, shape }, index) => builder.input(`state.${String(index)}`, dtype, shape));
    for (const [index, value] of statistic.accumulate(builder, input, before, inFeatures).entries()) builder.output(value, `next.${String(index)}`);
    await using executable = await backend.compile(builder.build());
    const given = Object.fromEntries(state.map((tensor, index) => [`state.${String(index)}`, tensor]));
    const next = await executable.run({ rows: scope.own(backend.write(inputs)), ...given });
    state = state.map((_, index) => scope.own(next[`next.${String(index)}`]!));
  }
  return await statistic.finish(state, {
    backend,
    inFeatures,
    rows,
    signal,
    async run(_key, build, values) {
      await using executable = await backend.compile(build());
      return await executable.run(values);
    },
  });
}
