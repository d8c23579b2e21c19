import { throwIfAborted, type Model, type TargetModule } from '@pare/core';
import type { MagnitudeOptions } from './options.js';

/** What is pruned of all modules that compete together. */
export interface GlobalThreshold {
  /** Bits of |w| as float32: smaller ones are pruned. */
  readonly bits: number;
  /** How many weights of each module that lie exactly on the threshold are pruned too, from its start. */
  readonly ties: ReadonlyMap<string, number>;
}

/** Bits of the sign-free float32 that the first pass tells apart; the second pass tells the rest apart. */
const highBits = 16;
const lowBits = 31 - highBits;

/**
 * The k-th smallest magnitude over some modules, k = round(sparsity · weights), exactly, in three passes with one matrix in memory: magnitudes sort like the bits of
 * their float32, so two histograms find it, and a last pass counts the weights on it. Of these, earlier modules and lower indices are pruned first.
 *
 * Weights that were pruned already are zero and stay among the smallest, so the threshold prunes the same weights when part of the modules is finished.
 */
export async function globalThreshold(modules: readonly TargetModule<MagnitudeOptions>[], sparsity: number, model: Model, signal: AbortSignal): Promise<GlobalThreshold> {
  const each = async (work: (bits: Uint32Array, module: string) => void): Promise<void> => {
    for (const { info } of modules) {
      throwIfAborted(signal, 'ranking magnitudes');
      const { data } = await model.denseWeight(info.name);
      work(new Uint32Array(data.buffer, data.byteOffset, data.length), info.name);
    }
  };
  const high = new Float64Array(2 ** highBits);
  await each((bits) => {
    for (const word of bits) high[(word & 0x7fffffff) >>> lowBits]! += 1;
  });
  const total = high.reduce((sum, count) => sum + count, 0);
  const pruned = Math.round(sparsity * total);
  const [bucket, beforeBucket] = bucketOf(high, pruned);
  const low = new Float64Array(2 ** lowBits);
  await each((bits) => {
    for (const word of bits) if ((word & 0x7fffffff) >>> lowBits === bucket) low[word & (2 ** lowBits - 1)]! += 1;
  });
  const [rest, beforeRest] = bucketOf(low, pruned - beforeBucket);
  const threshold = bucket * 2 ** lowBits + rest;
  let left = pruned - beforeBucket - beforeRest;
  const ties = new Map<string, number>();
  await each((bits, module) => {
    let equal = 0;
    for (const word of bits) if ((word & 0x7fffffff) === threshold) equal += 1;
    ties.set(module, Math.min(left, equal));
    left -= Math.min(left, equal);
  });
  return { bits: threshold, ties };
}

/** The bucket that the `rank`-th smallest lies in, counted from 1, and how many lie in buckets before it. */
function bucketOf(counts: Float64Array, rank: number): [bucket: number, before: number] {
  let before = 0;
  for (let bucket = 0; bucket < counts.length; bucket++) {
    if (before + counts[bucket]! >= rank) return [bucket, before];
    before += counts[bucket]!;
  }
  return [counts.length - 1, before - counts[counts.length - 1]!];
}

/** Mask [out, in] of a module under a threshold. */
export function maskUnder(weight: Float32Array, module: string, { bits: threshold, ties }: GlobalThreshold): Uint8Array {
  const words = new Uint32Array(weight.buffer, weight.byteOffset, weight.length);
  const mask = new Uint8Array(weight.length);
  let left = ties.get(module) ?? 0;
  for (let index = 0; index < mask.length; index++) {
    const magnitude = words[index]! & 0x7fffffff;
    if (magnitude > threshold || (magnitude === threshold && left === 0)) mask[index] = 1;
    else if (magnitude === threshold) left -= 1;
  }
  return mask;
}
