import { copyTensor, pareError, throwIfAborted, type DeviceTensor, type Graph, type Model, type StatisticRef, type TensorScope } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import { buildCalibrationGraph, type BlockGraphOptions, type CalibrationGraph, type CaptureGroup, type CaptureRequest } from '../decoder/block-graph.js';
import { isStatistic, type StateTensor, type Statistic } from '../statistics/statistic.js';
import { CollectedStatistics } from './collected-statistics.js';
import { blockAt, compileByLength, constantsOf, loadWeights, relativeModule, type RunnerContext } from './context.js';
import { runOrHalve } from './halving.js';
import type { HiddenStates } from './hidden-states.js';
import { readOnce, spread } from './spread.js';

/** Statistics wanted of one module's input. */
export interface StatisticRequest {
  readonly module: string;
  readonly statistics: readonly StatisticRef<unknown>[];
}

/** Running values by their names without `state.`. */
type State = Map<string, DeviceTensor>;

/** One pass over the windows that adds every requested statistic up, on each device over its own chunks; then finishes them on the first. */
export async function collect(contexts: readonly RunnerContext[], index: number, hidden: HiddenStates, requests: readonly StatisticRequest[], source: Model): Promise<CollectedStatistics> {
  const [main] = contexts as [RunnerContext, ...RunnerContext[]];
  const block = blockAt(main, index);
  const collected = new CollectedStatistics();
  const captures = requests
    .filter(({ statistics }) => statistics.length > 0)
    .map(({ module, statistics }): CaptureRequest => ({ module: relativeModule(main, block, module), statistics: statistics.map(definitionOf) }));
  if (captures.length === 0 || hidden.chunks.length === 0) return collected;

  const key = `calibrate ${JSON.stringify(captures.map(({ module, statistics }) => [module, ...statistics.map(({ id }) => id)]))}`;
  // What cannot be put together again is added up in one place.
  const together = captures.every(({ statistics }) => statistics.every(({ combine }) => combine !== undefined));
  const devices = together ? contexts : [main];
  const scopes = devices.map(({ backend }) => backend.scope());
  try {
    const states = new Map<RunnerContext, State>();
    const shared = readOnce(source, devices, hidden);
    const calibration = (options: BlockGraphOptions): CalibrationGraph => buildCalibrationGraph(options, captures);
    await spread(devices, hidden, { task: 'collect', what: 'calibration' }, async ({ context, chunks, begin, end }) => {
      const { backend } = context;
      const compiled = await compileByLength(context, block, hidden, source, key, calibration);
      using scope = backend.scope();
      const weights = await loadWeights(context, block, compiled(0).graph, shared, scope);
      const sums = scopes[devices.indexOf(context)]!;
      const state = initialState(context, compiled(0).graph, sums);
      states.set(context, state);
      for (const chunk of chunks) {
        begin();
        const { executable, graph } = compiled(chunk);
        const inputs = { ...weights, ...constantsOf(context, graph), ...prefixed('state', state) };
        // Sums after the first half are what the second half adds to.
        const next = await hidden.use(chunk, (tensor) => runOrHalve(context, executable, inputs, tensor, sumsAfter, keepSecond), backend);
        for (const [output, tensor] of Object.entries(next)) replace(state, output.slice('next.'.length), tensor, sums);
        end();
      }
    });
    const { groups } = (await compileByLength(main, block, hidden, source, key, calibration))(0).graph;
    const state = states.get(main)!;
    for (const [context, other] of states) if (context !== main) await combine(main, groups, state, scopes[0]!, other, context);
    for (const group of groups) await finish(main, collected, group, state, `${block.name}.`, hidden.tokens);
    return collected;
  } catch (error) {
    collected[Symbol.dispose]();
    throw error;
  } finally {
    for (const scope of scopes) scope[Symbol.dispose]();
  }
}

function prefixed(prefix: string, state: State): Record<string, DeviceTensor> {
  return Object.fromEntries([...state].map(([name, tensor]) => [`${prefix}.${name}`, tensor]));
}

/** Puts a new value in the place of an old one, which nobody needs any more. */
function replace(state: State, name: string, tensor: DeviceTensor, scope: TensorScope): void {
  const old = state.get(name)!;
  state.set(name, scope.own(tensor));
  scope.keep(old)[Symbol.dispose]();
}

/** Adds the running values of another device to those of the first, `state`. */
async function combine({ backend, executables, signal }: RunnerContext, groups: readonly CaptureGroup[], state: State, scope: TensorScope, other: State, from: RunnerContext): Promise<void> {
  const key = groups.map(({ counter, inFeatures, statistics }) => [counter, inFeatures, statistics.map(({ statistic: { id }, tensors }) => [id, tensors])]);
  const executable = await executables.get(`combine ${JSON.stringify(key)}`, () => combinationGraph(groups));
  throwIfAborted(signal, 'calibration');
  using copies = backend.scope();
  const received: State = new Map();
  for (const [name, tensor] of other) received.set(name, copies.own(await copyTensor(tensor, from.backend, backend)));
  const sums = await executable.run({ ...prefixed('first', state), ...prefixed('second', received) });
  for (const [name, tensor] of Object.entries(sums)) replace(state, name, tensor, scope);
}

/** Inputs `first.…` and `second.…`, outputs by the names alone. */
function combinationGraph(groups: readonly CaptureGroup[]): Graph {
  const builder = new GraphBuilder('combine');
  const pair = (name: string, { dtype, shape }: StateTensor): [Value, Value] => [builder.input(`first.${name}`, dtype, shape), builder.input(`second.${name}`, dtype, shape)];
  for (const { counter, inFeatures, statistics } of groups) {
    if (counter !== undefined) builder.output(builder.add(...pair(counter, { dtype: 'int64', shape: [1] })), counter);
    for (const { statistic, tensors } of statistics) {
      const pairs = statistic.state(inFeatures).map((tensor, index) => pair(tensors[index]!, tensor));
      const sums = statistic.combine!(builder, pairs.map(([first]) => first), pairs.map(([, second]) => second), inFeatures);
      tensors.forEach((name, index) => builder.output(sums[index]!, name));
    }
  }
  return builder.build();
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
function initialState({ backend }: RunnerContext, { groups }: CalibrationGraph, scope: TensorScope): State {
  const state: State = new Map();
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
  state: State,
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
