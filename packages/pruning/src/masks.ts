import type { DenseWeight, ModuleHandle, QuantizedWeight, SparseWeight, SparsityPattern } from '@pare/core';
import { pruneGroups, pruneRows, type RowScores } from '@pare/weights';

/** Mask [out, in]: N of every M inputs, or the `count` smallest scores of every output. */
export function pruneOutputs(shape: readonly [number, number], pattern: SparsityPattern, scores: RowScores, count: number): Uint8Array {
  return pattern.kind === 'grouped' ? pruneGroups(shape, scores, pattern) : pruneRows(shape, scores, count);
}

/** Scores |w|. */
export function magnitudes(weight: Float32Array, columns: number): RowScores {
  return (row, into) => {
    for (let column = 0, index = row * columns; column < columns; column++, index++) into[column] = Math.abs(weight[index]!);
  };
}

/** A module's weight in its form. Shared weights have an owner, who is the target instead; pruning techniques do not accept factorized ones and tensor trains. */
export async function ownWeight(module: Pick<ModuleHandle<unknown>, 'info' | 'form'>): Promise<DenseWeight | QuantizedWeight | SparseWeight> {
  const form = await module.form();
  if (form.form === 'shared') throw new TypeError(`${module.info.name} shares the weights of ${form.with}`);
  if (form.form === 'factorized' || form.form === 'tensor-train') throw new TypeError(`${module.info.name} is ${form.form}`);
  return form;
}

/** Σ w² over the weights that a mask prunes: ‖W − Ŵ‖² when the others stay. */
export function prunedEnergy(weight: Float32Array, mask: Uint8Array): number {
  let sum = 0;
  for (let index = 0; index < weight.length; index++) if (mask[index] === 0) sum += weight[index]! ** 2;
  return sum;
}
