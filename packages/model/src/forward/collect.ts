import { pareError, throwIfAborted, type DeviceTensor, type Model, type StatisticRef, type TensorScope } from '@pare/core';
import { buildCalibrationGraph, type CalibrationGraph, type CaptureGroup, type CaptureRequest } from '../decoder/block-graph.js';
import { isStatistic, type Statistic } from '../statistics/statistic.js';
import { CollectedStatistics } from './collected-statistics.js';
import { blockAt, compileByLength, constantsOf, loadWeights, relativeModule, type RunnerContext } from './context.js';
import { runOrHalve } from './halving.js';
import type { HiddenStates } from './hidden-states.js';

/** Statistics wanted of one module's input. */
export interface StatisticRequest {
  readonly module: string;
  readonly statistics: readonly StatisticRef<unknown>[];
}

/** One pass over the windows that adds every requested statistic up, then finishes them. */
export async function collect(context: RunnerContext, index: number, hidden: HiddenStates, requests: readonly StatisticRequest[], source: Model): Promise<CollectedStatistics> {
  const { backend, signal } = context;
  const block = blockAt(context, index);
  const collected = new CollectedStatistics();
  const captures = requests
    .filter(({ statistics }) => statistics.length > 0)
    .map(({ module, statistics }): CaptureRequest => ({ module: relativeModule(context, block, module), statistics: statistics.map(definitionOf) }));
  if (captures.length === 0 || hidden.chunks.length === 0) return collected;

  const key = `calibrate ${JSON.stringify(captures.map(({ module, statistics }) => [module, ...statistics.map(({ id }) => id)]))}`;
  const compiled = await compileByLength(context, block, hidden, source, key, (options) => buildCalibrationGraph(options, captures));
  const { graph: calibration } = compiled(0);
  using scope = backend.scope();
  const weights = await loadWeights(context, block, calibration, source, scope);
  const state = initialState(context, calibration, scope);
  for (const chunk of hidden.chunks.keys()) {
    throwIfAborted(signal, 'calibration');
    const { executable, graph } = compiled(chunk);
    const sums = Object.fromEntries([...state].map(([name, tensor]) => [`state.${name}`, tensor]));
    const inputs = { ...weights, ...constantsOf(context, graph), ...sums };
    // Sums after the first half are what the second half adds to.
    const next = await hidden.use(chunk, (tensor) => runOrHalve(context, executable, inputs, tensor, sumsAfter, keepSecond));
    for (const [output, tensor] of Object.entries(next)) {
      const name = output.slice('next.'.length);
      const old = state.get(name)!;
      state.set(name, scope.own(tensor));
      scope.keep(old)[Symbol.dispose]();
    }
    context.report('collect', chunk + 1, hidden.chunks.length);
  }

  try {
    for (const group of calibration.groups) await finish(context, collected, group, state, `${block.name}.`, hidden.tokens);
    return collected;
  } catch (error) {
    collected[Symbol.dispose]();
    throw error;
  }
}

/** Outputs `next.…` as the inputs `state.…` that they replace. */
function sumsAfter(outputs: Readonly<Record<string, DeviceTensor>>): Record<string, DeviceTensor> {
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [`state.${name.slice('next.'.length)}`, tensor]));
}

function keepSecond(first: Record<string, DeviceTensor>, second: Record<string, DeviceTensor>): Promise<Record<string, DeviceTensor>> {
  for (const tensor of Object.values(first)) tensor[Symbol.dispose]();
  return Promise.resolve(second);
}

/** The definition behind a ref: `defineStatistic` makes both in one object. */
function definitionOf(ref: StatisticRef<unknown>): Statistic<unknown> {
  if (isStatistic(ref)) return ref;
  throw pareError('PARE_STATISTIC_UNKNOWN', { statistic: ref.id });
}

/** Zeros for every running sum, by name without `state.`. */
function initialState({ backend }: RunnerContext, { groups }: CalibrationGraph, scope: TensorScope): Map<string, DeviceTensor> {
  const state = new Map<string, DeviceTensor>();
  for (const { counter, statistics, inFeatures } of groups) {
    if (counter !== undefined) state.set(counter, scope.own(backend.allocate('int64', [1])));
    for (const { statistic, tensors } of statistics) {
      statistic.state(inFeatures).forEach(({ dtype, shape }, index) => state.set(tensors[index]!, scope.own(backend.allocate(dtype, shape))));
    }
  }
  return state;
}

async function finish(
  { backend, executables, signal }: RunnerContext,
  collected: CollectedStatistics,
  { modules, inFeatures, counter, statistics }: CaptureGroup,
  state: ReadonlyMap<string, DeviceTensor>,
  prefix: string,
  tokens: number,
): Promise<void> {
  const rows = counter === undefined ? tokens : Number((await backend.read(state.get(counter)!)).data[0]);
  for (const { statistic, tensors } of statistics) {
    throwIfAborted(signal, 'calibration');
    const value = await statistic.finish(
      tensors.map((name) => state.get(name)!),
      {
        backend,
        inFeatures,
        rows,
        signal,
        run: async (key, build, inputs) => (await executables.get(`statistic ${statistic.id} ${key}`, build)).run(inputs),
      },
    );
    collected.add(
      modules.map((module) => prefix + module),
      statistic,
      value,
    );
  }
}
