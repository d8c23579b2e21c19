import { int64Tensor, pareError, throwIfAborted, type Backend, type DeviceTensor, type Model } from '@pare/core';
import { buildDivergenceGraph, divergenceSides } from './divergence-graph.js';
import { ExecutableCache } from './executables.js';
import type { BorrowedChunk, HiddenStates } from './hidden-states.js';
import { loadNorm, loadSlice, readHead, targetsOf, vocabularySlices } from './likelihood.js';
import type { WindowChunk } from './windows.js';

/** A model and its last block's output over some windows. */
export interface ComparedModel {
  readonly model: Model;
  readonly hidden: HiddenStates;
}

export interface HeadComparisonOptions {
  readonly original: ComparedModel;
  readonly model: ComparedModel;
  /** The windows that both hidden states belong to, in the same chunks. */
  readonly windows: readonly Int32Array[];
  readonly backend: Backend;
  readonly signal?: AbortSignal | undefined;
  /** Bytes that both heads' logits and what is computed of them may take at once; 64 MiB by default. */
  readonly logitsBytes?: number | undefined;
  readonly onProgress?: ((progress: { readonly completed: number; readonly total: number }) => void) | undefined;
}

/** Predictions of two models for tokens 2 … length of a window: length − 1 values each. */
export interface WindowComparison {
  /** KL(P ‖ Q) in nats, with P the original's distribution of the next token and Q the model's. */
  readonly divergence: Float64Array;
  /** −ln P(next token). */
  readonly originalLoss: Float64Array;
  /** −ln Q(next token). */
  readonly loss: Float64Array;
  /** 1 where both hold the same token most likely (the first of equals). */
  readonly sameTop: Uint8Array;
}

/** Values of a logit's size that the graph holds at once: logits, their logarithmic probabilities (two sides each), probabilities, products. */
const logitCopies = 6;

/**
 * Compares the next-token distributions of two models over the same windows. The vocabulary is cut into slices, and each slice of both heads visits a group of
 * chunks before the next one is loaded: one slice of two heads and one chunk × slice of logits are on the device at any time, never a full set of logits.
 *
 * @throws PARE_VOCABULARY_MISMATCH, PARE_LOGITS_NOT_FINITE naming model, window and position, PARE_ABORTED
 */
export async function compareHeads(options: HeadComparisonOptions): Promise<WindowComparison[]> {
  const { original, model, windows, backend, signal, logitsBytes = 64 * 2 ** 20 } = options;
  const vocabulary = checkVocabularies(original.model, model.model);
  const chunks = sharedChunks(original.hidden, model.hidden);
  const slices = vocabularySlices(vocabulary, original.hidden, logitsBytes, logitCopies);
  const total = chunks.length * slices.length;
  const sides = { original, model };
  const runOptions = signal === undefined ? {} : { signal };
  await using executables = new ExecutableCache(backend);
  using scope = backend.scope();
  const heads = { original: await readHead(original.model), model: await readHead(model.model) };
  const grids = { original: heads.original.input, model: heads.model.input };
  const norms: Record<string, DeviceTensor> = {};
  for (const side of divergenceSides) Object.assign(norms, prefixed(side, await loadNorm({ backend, model: sides[side].model }, sides[side].model, scope)));

  const results: WindowComparison[] = [];
  let completed = 0;
  for (const group of sharedGroups(original.hidden, model.hidden)) {
    using groupScope = backend.scope();
    const loans: BorrowedChunk[] = [];
    try {
      const states: { inputs: Record<string, DeviceTensor>; merged: MergedSlices }[] = [];
      for (const chunk of group) {
        const inputs: Record<string, DeviceTensor> = {};
        for (const side of divergenceSides) {
          const loan = await sides[side].hidden.borrow(chunk);
          loans.push(loan);
          inputs[`${side}.hidden`] = loan.tensor;
        }
        const targets = targetsOf(original.hidden, chunk, windows);
        inputs['target'] = groupScope.own(backend.write(targets));
        states.push({ inputs, merged: new MergedSlices(chunks[chunk]!, targets.data as BigInt64Array, [original.model.name, model.model.name]) });
      }
      for (const [start, end] of slices) {
        using sliceScope = backend.scope();
        const weights: Record<string, DeviceTensor> = { ...norms, start: sliceScope.own(backend.write(int64Tensor([], [start]))) };
        for (const side of divergenceSides) Object.assign(weights, prefixed(side, loadSlice({ backend }, heads[side], start, end, sliceScope)));
        for (const { inputs, merged } of states) {
          throwIfAborted(signal, 'the comparison');
          const { length } = merged.chunk;
          const graph = { original: original.model.description, model: model.model.description, length, rows: end - start, grids };
          const executable = await executables.get(`divergence ${String(length)} ${String(end - start)}`, () => buildDivergenceGraph(graph));
          using outputs = backend.scope();
          const result = await executable.run({ ...weights, ...inputs }, runOptions);
          for (const tensor of Object.values(result)) outputs.own(tensor);
          await merged.add(start, end, async (name) => (await backend.read(result[name]!)).data);
          options.onProgress?.({ completed: ++completed, total });
        }
      }
      for (const { merged } of states) results.push(...merged.windows());
    } finally {
      for (const loan of loans) loan[Symbol.dispose]();
    }
  }
  return results;
}

/** The vocabulary that two models share. @throws PARE_VOCABULARY_MISMATCH */
export function checkVocabularies(original: Model, model: Model): number {
  const [expected, found] = [original.description.vocabularySize, model.description.vocabularySize];
  if (expected !== found) throw pareError('PARE_VOCABULARY_MISMATCH', { original: original.name, expected, model: model.name, found });
  return expected;
}

function prefixed(side: string, tensors: Readonly<Record<string, DeviceTensor>>): Record<string, DeviceTensor> {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [`${side}.${name}`, tensor]));
}

function sharedChunks(a: HiddenStates, b: HiddenStates): readonly WindowChunk[] {
  if (JSON.stringify(a.chunks) !== JSON.stringify(b.chunks)) throw new RangeError('hidden states that are compared must be cut into the same chunks');
  return a.chunks;
}

/** Groups within each of which both sides' chunks may be on the device together: cut where either side's are. */
function sharedGroups(a: HiddenStates, b: HiddenStates): number[][] {
  const starts = new Set([...a.groups(), ...b.groups()].map((group) => group[0]));
  const groups: number[][] = [];
  for (const chunk of a.chunks.keys()) {
    if (starts.has(chunk)) groups.push([]);
    groups.at(-1)!.push(chunk);
  }
  return groups;
}

/** One side's values, one a position of a chunk. */
interface SideState {
  /** ln Σ exp of the logits so far. */
  readonly total: Float64Array;
  readonly peak: Float64Array;
  readonly top: Int32Array;
  readonly target: Float64Array;
}

/** What the slices of the vocabulary seen so far say of a chunk's positions. */
class MergedSlices {
  readonly chunk: WindowChunk;
  readonly #targets: BigInt64Array;
  readonly #names: readonly [original: string, model: string];
  readonly #divergence: Float64Array;
  readonly #sides: readonly [SideState, SideState];

  constructor(chunk: WindowChunk, targets: BigInt64Array, names: readonly [original: string, model: string]) {
    this.chunk = chunk;
    this.#targets = targets;
    this.#names = names;
    const size = chunk.count * chunk.length;
    this.#divergence = new Float64Array(size);
    const side = (): SideState => ({
      total: new Float64Array(size).fill(-Infinity),
      peak: new Float64Array(size).fill(-Infinity),
      top: new Int32Array(size).fill(-1),
      target: new Float64Array(size),
    });
    this.#sides = [side(), side()];
  }

  /**
   * Takes in the slice [start, end). With a and b the original's probability of the slices before and of this one (a + b = 1), α and β the model's, the chain
   * rule gives
   *
   *   KL(P ‖ Q) = a KL_before + b KL_slice + a ln(a/α) + b ln(b/β)
   */
  async add(start: number, end: number, read: (name: string) => Promise<ArrayLike<number> | ArrayLike<bigint>>): Promise<void> {
    const divergence = (await read('divergence')) as Float32Array;
    const totals: Float32Array[] = [];
    for (const [index, side] of divergenceSides.entries()) {
      totals.push((await read(`${side}.total`)) as Float32Array);
      const peak = (await read(`${side}.peak`)) as Float32Array;
      const top = (await read(`${side}.top`)) as BigInt64Array;
      const target = (await read(`${side}.target`)) as Float32Array;
      const state = this.#sides[index]!;
      for (let position = 0; position < peak.length; position++) {
        if (peak[position]! > state.peak[position]!) {
          state.peak[position] = peak[position]!;
          state.top[position] = start + Number(top[position]!);
        }
        const token = this.#targets[position]!;
        if (token >= start && token < end) state.target[position] = target[position]!;
      }
    }
    const [p, q] = this.#sides;
    for (let position = 0; position < divergence.length; position++) {
      const [pSlice, qSlice, inSlice] = [totals[0]![position]!, totals[1]![position]!, divergence[position]!];
      if (!Number.isFinite(pSlice) || Number.isNaN(inSlice)) this.#refuse(Number.isFinite(pSlice) && !Number.isFinite(qSlice) ? 1 : 0, position);
      if (!Number.isFinite(qSlice) || !Number.isFinite(inSlice)) this.#refuse(1, position);
      const [pBefore, qBefore] = [p.total[position]!, q.total[position]!];
      const [pTotal, qTotal] = [addLogarithms(pBefore, pSlice), addLogarithms(qBefore, qSlice)];
      p.total[position] = pTotal;
      q.total[position] = qTotal;
      const [lnA, lnB] = [pBefore - pTotal, pSlice - pTotal];
      const slice = Math.exp(lnB) * (inSlice + lnB - (qSlice - qTotal));
      // Before the first slice a = α = 0, and their part is 0.
      const before = pBefore === -Infinity ? 0 : Math.exp(lnA) * (this.#divergence[position]! + lnA - (qBefore - qTotal));
      this.#divergence[position] = before + slice;
    }
  }

  windows(): WindowComparison[] {
    const { count, length } = this.chunk;
    const [p, q] = this.#sides;
    return Array.from({ length: count }, (_, window) => {
      const start = window * length;
      const over = (value: (position: number) => number): Float64Array => Float64Array.from({ length: length - 1 }, (__, position) => value(start + position));
      return {
        // Rounding of float32 logits can leave a sum that is zero in truth a little below.
        divergence: over((position) => Math.max(0, this.#divergence[position]!)),
        originalLoss: over((position) => p.total[position]! - p.target[position]!),
        loss: over((position) => q.total[position]! - q.target[position]!),
        sameTop: Uint8Array.from({ length: length - 1 }, (__, position) => (p.top[start + position] === q.top[start + position] ? 1 : 0)),
      };
    });
  }

  #refuse(side: 0 | 1, position: number): never {
    const { first, length } = this.chunk;
    throw pareError('PARE_LOGITS_NOT_FINITE', { model: this.#names[side], window: first + Math.floor(position / length), position: position % length });
  }
}

/** ln(exp a + exp b) */
function addLogarithms(a: number, b: number): number {
  const larger = Math.max(a, b);
  return larger === -Infinity ? larger : larger + Math.log1p(Math.exp(Math.min(a, b) - larger));
}
