import type { DeviceTraits } from '@pare/executor';
import { launches, type Launch } from './launch.js';

/* Kernels in which neighbouring invocations share a row and a workgroup of 256 takes one row or several. */

/** Invocations of a workgroup. */
const invocations = 256;

/** Invocations that share a row, a power of two: enough that none takes many of its elements, few enough that none idles. */
export function lanesOf(columns: number): number {
  let lanes = 4;
  while (lanes < invocations && lanes * 4 < columns) lanes *= 2;
  return lanes;
}

/** Workgroups for rows, and their launches. */
export function rowLaunches(rows: number, lanes: number, traits: DeviceTraits): { readonly groups: number; readonly parts: readonly Launch[] } {
  const groups = Math.ceil(rows / (invocations / lanes));
  return { groups, parts: launches(groups, traits) };
}
