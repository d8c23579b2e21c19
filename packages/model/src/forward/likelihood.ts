import { float32Tensor, hostTensor, int64Tensor, throwIfAborted, type DeviceTensor, type HostTensor, type InputQuantization, type Model, type TensorScope } from '@pare/core';
import { buildLikelihoodGraph, buildLogitsGraph, headInputs } from '../decoder/head-graph.js';
import { headLayer } from '../decoder/head.js';
import type { RunnerContext } from './context.js';
import type { BorrowedChunk, HiddenStates } from './hidden-states.js';
import { spread } from './spread.js';
import { inputRounding, moduleRows, tensorFloat32, type RowTable } from './weights.js';

/**
 * −log p(next token) of every position but a window's last. The vocabulary is cut into slices, and each slice of the head visits a group of chunks (all of them, unless
 * the states are spilled) before the next one is loaded: one slice of weights and one chunk × slice of logits are on the device at any time.
 */
export async function negativeLogLikelihood(
  contexts: readonly RunnerContext[],
  hidden: HiddenStates,
  windows: readonly Int32Array[],
  source: Model,
  logitsBytes: number,
): Promise<Float64Array[]> {
  const slices = vocabularySlices(contexts[0]!.model.description.vocabularySize, hidden, logitsBytes);
  const head = await readHead(source);
  const losses = hidden.chunks.map((): Float64Array[] => []);
  await spread(contexts, hidden, { task: 'likelihood', what: 'the likelihood', steps: slices.length }, async ({ context, chunks, begin, end: done }) => {
    const { backend } = context;
    using scope = backend.scope();
    const norm = await loadNorm(context, source, scope);
    for (const group of hidden.groups(chunks)) {
      using groupScope = backend.scope();
      const loans: BorrowedChunk[] = [];
      try {
        for (const chunk of group) loans.push(await hidden.borrow(chunk, backend));
        const states = group.map((chunk, index) => startChunk(context, hidden, chunk, loans[index]!.tensor, windows, groupScope));
        for (const [start, end] of slices) {
          using sliceScope = backend.scope();
          const weights = { ...norm, ...loadSlice(context, head, start, end, sliceScope), start: sliceScope.own(backend.write(int64Tensor([], [start]))) };
          for (const state of states) {
            begin();
            await addSlice(context, state, weights, end - start, head.input, groupScope);
            done();
          }
        }
        for (const [index, state] of states.entries()) losses[group[index]!] = await readLosses(context, state);
      } finally {
        for (const loan of loans) loan[Symbol.dispose]();
      }
    }
  });
  return losses.flat();
}

/** What is known of a chunk after some slices. */
interface ChunkState {
  readonly hidden: DeviceTensor;
  readonly count: number;
  readonly length: number;
  readonly targets: DeviceTensor;
  /** log Σ exp of the logits so far, and the target's logit once its slice was there; [windows, length, 1]. */
  total: DeviceTensor;
  target: DeviceTensor;
}

function startChunk({ backend }: RunnerContext, hidden: HiddenStates, chunk: number, tensor: DeviceTensor, windows: readonly Int32Array[], scope: TensorScope): ChunkState {
  const { count, length } = hidden.chunks[chunk]!;
  const total = float32Tensor([count, length, 1]);
  total.data.fill(-1e30);
  return {
    hidden: tensor,
    count,
    length,
    targets: scope.own(backend.write(targetsOf(hidden, chunk, windows))),
    total: scope.own(backend.write(total, { transfer: true })),
    target: scope.own(backend.allocate('float32', [count, length, 1])),
  };
}

async function addSlice(
  { executables, model, signal }: RunnerContext,
  state: ChunkState,
  weights: Readonly<Record<string, DeviceTensor>>,
  rows: number,
  input: InputQuantization | undefined,
  scope: TensorScope,
): Promise<void> {
  const { description } = model;
  const { length, total, target } = state;
  const executable = await executables.get(`likelihood ${String(length)} ${String(rows)} ${JSON.stringify(input)}`, () => buildLikelihoodGraph({ description, length, rows, input }));
  const inputs = { ...weights, hidden: state.hidden, target: state.targets, 'state.total': total, 'state.target': target };
  const next = await executable.run(inputs, signal === undefined ? {} : { signal });
  state.total = scope.own(next['next.total']!);
  state.target = scope.own(next['next.target']!);
  for (const old of [total, target]) scope.keep(old)[Symbol.dispose]();
}

async function readLosses({ backend }: RunnerContext, { count, length, total, target }: ChunkState): Promise<Float64Array[]> {
  const totals = (await backend.read(total)).data as Float32Array;
  const picked = (await backend.read(target)).data as Float32Array;
  return Array.from({ length: count }, (_, window) =>
    Float64Array.from({ length: Math.max(0, length - 1) }, (_, position) => totals[window * length + position]! - picked[window * length + position]!),
  );
}

/** Logits of every position, a float32 tensor [windows, length, vocabulary] for each chunk, one chunk after another. */
export async function* logits(context: RunnerContext, hidden: HiddenStates, source: Model): AsyncGenerator<HostTensor, void, undefined> {
  const { backend, signal, executables, model } = context;
  const { description } = model;
  using scope = backend.scope();
  const head = await readHead(source);
  const rows = description.vocabularySize;
  const weights = { ...(await loadNorm(context, source, scope)), ...loadSlice(context, head, 0, rows, scope) };
  for (const [chunk, { length }] of hidden.chunks.entries()) {
    throwIfAborted(signal, 'the logits');
    const executable = await executables.get(`logits ${String(length)} ${JSON.stringify(head.input)}`, () => buildLogitsGraph({ description, length, rows, input: head.input }));
    const output = await hidden.use(chunk, (tensor) => executable.run({ ...weights, hidden: tensor }));
    using values = output['logits']!;
    yield await backend.read(values);
  }
}

/** Slices [start, end) of the vocabulary such that a chunk's logits for one, held `copies` times, stay within `bytes`. */
export function vocabularySlices(vocabulary: number, hidden: HiddenStates, bytes: number, copies = 2): [start: number, end: number][] {
  const tokens = hidden.chunks.reduce((most, { count, length }) => Math.max(most, count * length), 1);
  const rows = Math.min(vocabulary, Math.max(1, Math.floor(bytes / (copies * 4 * tokens))));
  const slices = Math.ceil(vocabulary / rows);
  const size = Math.ceil(vocabulary / slices);
  return Array.from({ length: Math.ceil(vocabulary / size) }, (_, index) => [index * size, Math.min(vocabulary, (index + 1) * size)]);
}

/** The token after each position, [windows, length, 1]; −1, which no slice has, after the last. */
export function targetsOf(hidden: HiddenStates, chunk: number, windows: readonly Int32Array[]): HostTensor {
  const { first, count, length } = hidden.chunks[chunk]!;
  const targets = new BigInt64Array(count * length).fill(-1n);
  for (let window = 0; window < count; window++) {
    const ids = windows[first + window]!;
    if (ids.length !== length) throw new RangeError(`window ${String(first + window)} has ${String(ids.length)} tokens, its hidden states ${String(length)}`);
    for (let position = 0; position + 1 < length; position++) targets[window * length + position] = BigInt(ids[position + 1]!);
  }
  return hostTensor('int64', [count, length, 1], targets);
}

/** The final norm's parameters by their names in head graphs. */
export async function loadNorm({ backend, model }: Pick<RunnerContext, 'backend' | 'model'>, source: Model, scope: TensorScope): Promise<Record<string, DeviceTensor>> {
  const { finalNorm } = model.description;
  const load = async (name: string): Promise<DeviceTensor> => scope.own(backend.write(await tensorFloat32(source, name)));
  return {
    [headInputs.normWeight]: await load(`${finalNorm.module}.weight`),
    ...(finalNorm.kind === 'layer' && finalNorm.bias ? { [headInputs.normBias]: await load(`${finalNorm.module}.bias`) } : {}),
  };
}

/** A head in host memory. */
export interface StoredHead {
  /** [vocabulary, hidden]. */
  readonly matrix: RowTable;
  readonly bias: Float32Array | undefined;
  /** How its inputs are rounded, if they are. */
  readonly input: InputQuantization | undefined;
}

export async function readHead(source: Model): Promise<StoredHead> {
  const { head } = source.description;
  const { module } = headLayer(source.description);
  return { matrix: await moduleRows(source, module), input: await inputRounding(source, module), bias: head.bias ? (await tensorFloat32(source, `${head.module}.bias`)).data : undefined };
}

/** Rows `start` … `end − 1` of the head by their names in head graphs. */
export function loadSlice({ backend }: Pick<RunnerContext, 'backend'>, { matrix, bias }: StoredHead, start: number, end: number, scope: TensorScope): Record<string, DeviceTensor> {
  const weight = float32Tensor([end - start, matrix.shape[1]]);
  matrix.read(start, end - start, weight.data);
  return {
    [headInputs.weight]: scope.own(backend.write(weight, { transfer: true })),
    ...(bias === undefined ? {} : { [headInputs.bias]: scope.own(backend.write(float32Tensor([end - start], bias.slice(start, end)), { transfer: true })) }),
  };
}
