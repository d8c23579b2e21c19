import { pruneSmallest } from '@pare/weights';
import type { MagnitudeOptions } from './options.js';

/** Mask [out, in] that prunes the rows or columns of the smallest norms. */
export function pruneUnits(weight: Float32Array, [rows, columns]: readonly [number, number], { unit, norm }: Pick<MagnitudeOptions, 'unit' | 'norm'>, count: number): Uint8Array {
  const unitOf = (index: number): number => (unit === 'row' ? Math.floor(index / columns) : index % columns);
  const sums = new Float64Array(unit === 'row' ? rows : columns);
  for (let index = 0; index < weight.length; index++) sums[unitOf(index)]! += norm === 'l1' ? Math.abs(weight[index]!) : weight[index]! ** 2;
  const kept = new Uint8Array(sums.length);
  // Squares rank as their roots do.
  pruneSmallest(Float32Array.from(sums), count, kept);
  return Uint8Array.from({ length: weight.length }, (_, index) => kept[unitOf(index)]!);
}
