import { float32Tensor, hostTensor, int64Tensor, pareError, throwIfAborted, type Backend, type DeviceTensor, type HostTensor, type Model, type TensorScope } from '@pare/core';
import { defaultChunkTokens } from '../forward/block-runner.js';
import { blockAt, blockOptions, loadWeights, type CompiledBlock, type RunnerContext } from '../forward/context.js';
import type { BlockGraph } from '../decoder/block-graph.js';
import { embedChunk, readEmbeddingTables } from '../forward/embed.js';
import { ExecutableCache } from '../forward/executables.js';
import { HiddenStates, type BorrowedChunk } from '../forward/hidden-states.js';
import { loadNorm, loadSlice, readHead } from '../forward/likelihood.js';
import type { WindowChunk } from '../forward/windows.js';
import { buildPickGraph, buildTreeGraph } from './tree-graph.js';
import { treeRows, type Continuation, type TreeRow } from './tree-rows.js';

const mebibyte = 2 ** 20;
/** Longest row whose scores are computed at once; longer rows have graphs of their own, which cut them. */
const wholeRow = 256;
/** Lengths of longer rows are multiples of this, so that few graphs serve all. */
const lengthStep = 128;

export interface ScoringOptions {
  readonly model: Model;
  readonly backend: Backend;
  readonly signal?: AbortSignal | undefined;
  /** Tokens computed at once (whole rows, at least one); 2048 by default, fewer for wide models. */
  readonly chunkTokens?: number | undefined;
  /** Tokens above which a group is spread over several rows, each with its common part; by default 256, or twice the longest sequence. */
  readonly rowTokens?: number | undefined;
  /** Bytes of hidden states above which they wait in a temporary file; 1 GiB by default. */
  readonly spillBytes?: number | undefined;
  /** Bytes that logits may take at once; 32 MiB by default. */
  readonly logitsBytes?: number | undefined;
  /** Chunks that passed a layer, of all chunks through all layers. */
  readonly onProgress?: ((completed: number, total: number) => void) | undefined;
}

/**
 * log p of tokens in nats: for every sequence of every group one value a scored token, log p(token t | tokens 0 … t − 1). What the sequences of a group begin with in common is
 * computed once, and groups of similar size go through the model together. As with `createBlockRunner` one block's weights are on the device at a time, in float32.
 *
 * @throws PARE_TOKEN_OUT_OF_RANGE, PARE_WINDOW_TOO_LONG when a sequence needs more positions than the model learned, PARE_ABORTED
 */
export async function scoreContinuations(options: ScoringOptions, groups: readonly (readonly Continuation[])[]): Promise<Float64Array[][]> {
  const { model, backend, signal, spillBytes = 1024 * mebibyte, logitsBytes = 32 * mebibyte } = options;
  const { description } = model;
  const sequences = groups.flat();
  for (const { ids, start } of sequences) {
    if (start < 1 || start >= ids.length) throw new RangeError(`${String(ids.length)} tokens cannot be scored from token ${String(start)}`);
  }
  const results = groups.map((group) => group.map(({ ids, start }) => new Float64Array(ids.length - start)));
  const longest = sequences.reduce((most, { ids }) => Math.max(most, ids.length - 1), 0);
  if (description.embedding.positions !== undefined && longest > description.maxPositions) {
    throw pareError('PARE_WINDOW_TOO_LONG', { length: longest, positions: description.maxPositions });
  }
  const chunkTokens = options.chunkTokens ?? defaultChunkTokens(model);
  const { rows, chunks } = layOutChunks(treeRows(groups, options.rowTokens ?? Math.max(2 * longest, wholeRow)), chunkTokens);
  if (chunks.length === 0) return results;

  await using executables = new ExecutableCache(backend);
  const context: RunnerContext = { model, backend, signal, executables, constants: new Map(), experts: undefined, report: () => undefined };
  const total = chunks.length * (description.blocks.length + 2);
  let completed = 0;
  const step = (): void => {
    throwIfAborted(signal, 'scoring');
    options.onProgress?.(++completed, total);
  };

  await using hidden = new HiddenStates({ backend, hiddenSize: description.hiddenSize, chunks, spillBytes, files: model.files });
  const tables = await readEmbeddingTables(model);
  const tokens = rows.map((row) => row.tokens);
  const positions = rows.map((row) => row.positions);
  for (const [index, chunk] of chunks.entries()) {
    await hidden.write(index, embedChunk(description, tables, tokens, chunk, positions));
    step();
  }
  for (const block of description.blocks.keys()) await advanceRows(context, block, hidden, rows, step);
  await pickProbabilities(context, hidden, rows, results, logitsBytes, step);
  return results;
}

/** Rows sorted by length and padded to their chunk's, in chunks of about `chunkTokens` tokens. */
function layOutChunks(unsorted: readonly TreeRow[], chunkTokens: number): { rows: TreeRow[]; chunks: WindowChunk[] } {
  const sorted = [...unsorted].sort((left, right) => right.tokens.length - left.tokens.length);
  const rows: TreeRow[] = [];
  const chunks: WindowChunk[] = [];
  for (let first = 0; first < sorted.length; ) {
    const longest = sorted[first]!.tokens.length;
    const length = longest <= wholeRow ? longest : Math.ceil(longest / lengthStep) * lengthStep;
    const most = Math.max(1, Math.floor(chunkTokens / length));
    let count = 1;
    // A chunk ends early rather than being a quarter padding.
    while (count < most && first + count < sorted.length && sorted[first + count]!.tokens.length * 4 > longest * 3) count++;
    for (const row of sorted.slice(first, first + count)) rows.push(padded(row, length));
    chunks.push({ first, count, length });
    first += count;
  }
  return { rows, chunks };
}

function padded(row: TreeRow, length: number): TreeRow {
  const pad = (values: Int32Array, filler: number): Int32Array => {
    const result = new Int32Array(length).fill(filler);
    result.set(values);
    return result;
  };
  return { tokens: pad(row.tokens, 0), positions: pad(row.positions, 0), branches: pad(row.branches, -1), picks: row.picks };
}

/** hidden ← block(hidden). */
async function advanceRows(context: RunnerContext, index: number, hidden: HiddenStates, rows: readonly TreeRow[], step: () => void): Promise<void> {
  const { backend, signal, executables } = context;
  const block = blockAt(context, index);
  const compile = (chunk: number): Promise<CompiledBlock<BlockGraph>> => {
    const { length } = hidden.chunks[chunk]!;
    const fixed = length <= wholeRow ? undefined : length;
    const options = blockOptions(context, block, 1, context.model);
    return executables.block(`tree ${String(fixed)} ${JSON.stringify(options)}`, () => buildTreeGraph(options, fixed));
  };
  using scope = backend.scope();
  // Graphs of all lengths take the same weights.
  const weights = await loadWeights(context, block, (await compile(0)).graph, context.model, scope);
  for (const [chunk, { first, count, length }] of hidden.chunks.entries()) {
    throwIfAborted(signal, 'scoring');
    const { executable } = await compile(chunk);
    const members = rows.slice(first, first + count);
    using chunkScope = backend.scope();
    const trees: Record<string, DeviceTensor> = {};
    for (const name of ['positions', 'branches'] as const) {
      const values = BigInt64Array.from(members.flatMap((row) => Array.from(row[name], BigInt)));
      trees[name] = chunkScope.own(backend.write(hostTensor('int64', [count, length], values), { transfer: true }));
    }
    const { output } = await hidden.use(chunk, (tensor) => executable.run({ ...weights, ...trees, hidden: tensor }, signal === undefined ? {} : { signal }));
    await hidden.replace(chunk, output!);
    step();
  }
}

/** What is known of a chunk's scored tokens after some slices of the vocabulary. */
interface PickState {
  readonly hidden: DeviceTensor;
  readonly inputs: Readonly<Record<string, DeviceTensor>>;
  /** log Σ exp of the logits so far [states, 1], and each target's logit [targets]. */
  total: DeviceTensor;
  target: DeviceTensor;
}

/** The distinct states that a chunk's tokens are read from, and the tokens. */
interface ChunkPicks {
  readonly picks: readonly TreeRow['picks'][number][];
  readonly places: readonly number[];
  readonly owners: readonly number[];
}

function chunkPicks(rows: readonly TreeRow[], { first, count, length }: WindowChunk): ChunkPicks {
  const picks = rows.slice(first, first + count).flatMap((row, index) => row.picks.map((pick) => ({ ...pick, place: index * length + pick.place })));
  const places = [...new Set(picks.map(({ place }) => place))];
  const stateOf = new Map(places.map((place, state) => [place, state]));
  return { picks, places, owners: picks.map(({ place }) => stateOf.get(place)!) };
}

/** Fills in log p of every scored token. Slices of the head visit a group of chunks each, so logits of a chunk and a slice are all that is held at once. */
async function pickProbabilities(
  context: RunnerContext,
  hidden: HiddenStates,
  rows: readonly TreeRow[],
  results: readonly (readonly Float64Array[])[],
  logitsBytes: number,
  step: () => void,
): Promise<void> {
  const { backend, executables, model, signal } = context;
  const { description } = model;
  const chosen = hidden.chunks.map((chunk) => chunkPicks(rows, chunk));
  const vocabulary = description.vocabularySize;
  // Logits of a slice are held twice.
  const sliceRows = Math.max(1, Math.floor(logitsBytes / (2 * 4 * Math.max(1, ...chosen.map(({ places }) => places.length)))));
  const slice = Math.ceil(vocabulary / Math.ceil(vocabulary / Math.min(vocabulary, sliceRows)));
  using scope = backend.scope();
  const norm = await loadNorm(context, model, scope);
  const head = await readHead(model);
  for (const group of hidden.groups()) {
    using groupScope = backend.scope();
    const loans: BorrowedChunk[] = [];
    try {
      for (const chunk of group) loans.push(await hidden.borrow(chunk));
      const states = group.map((chunk, index) => startPicks(backend, loans[index]!.tensor, chosen[chunk]!, groupScope));
      for (let start = 0; start < vocabulary; start += slice) {
        const end = Math.min(vocabulary, start + slice);
        using sliceScope = backend.scope();
        const weights = { ...norm, ...loadSlice(context, head, start, end, sliceScope), start: sliceScope.own(backend.write(int64Tensor([], [start]))) };
        const executable = await executables.get(`pick ${String(end - start)} ${JSON.stringify(head.input)}`, () => buildPickGraph({ description, rows: end - start, input: head.input }));
        for (const state of states) {
          throwIfAborted(signal, 'scoring');
          const { total, target } = state;
          const inputs = { ...weights, ...state.inputs, hidden: state.hidden, 'state.total': total, 'state.target': target };
          const next = await executable.run(inputs, signal === undefined ? {} : { signal });
          state.total = groupScope.own(next['next.total']!);
          state.target = groupScope.own(next['next.target']!);
          for (const old of [total, target]) groupScope.keep(old)[Symbol.dispose]();
        }
      }
      for (const [index, chunk] of group.entries()) {
        const totals = (await backend.read(states[index]!.total)).data as Float32Array;
        const targets = (await backend.read(states[index]!.target)).data as Float32Array;
        const { picks, owners } = chosen[chunk]!;
        for (const [at, pick] of picks.entries()) results[pick.group]![pick.member]![pick.index] = targets[at]! - totals[owners[at]!]!;
        step();
      }
    } finally {
      for (const loan of loans) loan[Symbol.dispose]();
    }
  }
}

function startPicks(backend: Backend, hidden: DeviceTensor, { picks, places, owners }: ChunkPicks, scope: TensorScope): PickState {
  const write = (tensor: HostTensor): DeviceTensor => scope.own(backend.write(tensor, { transfer: true }));
  const total = float32Tensor([places.length, 1]);
  total.data.fill(-1e30);
  return {
    hidden,
    inputs: {
      places: write(int64Tensor([places.length], places)),
      owner: write(int64Tensor([owners.length], owners)),
      target: write(int64Tensor([picks.length], picks.map(({ token }) => token))),
    },
    total: write(total),
    target: write(float32Tensor([picks.length])),
  };
}
