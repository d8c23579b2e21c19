import { dtypeBits, type HostTensor } from '@pare/core';
import { castTensor } from '@pare/operators';
import type { Tolerance } from './backend-case.js';

const list = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

/** What is wrong with a computed tensor, in words, or undefined when it is as expected. */
export function difference(
  name: string,
  actual: HostTensor | undefined,
  expected: HostTensor,
  tolerance: Tolerance,
  structureOnly: boolean,
): string | undefined {
  if (actual === undefined) return `output "${name}" is missing`;
  if (actual.dtype !== expected.dtype) return `output "${name}" is ${actual.dtype} and should be ${expected.dtype}`;
  if (list(actual.shape) !== list(expected.shape)) return `output "${name}" has shape ${list(actual.shape)} and should have ${list(expected.shape)}`;
  if (actual.data.length !== expected.data.length)
    return `output "${name}" came with ${String(actual.data.length)} elements of storage and should have ${String(expected.data.length)}`;
  if (structureOnly) return undefined;
  return expected.dtype === 'int64' || expected.dtype === 'uint64'
    ? exactDifference(name, actual, expected)
    : valueDifference(name, actual, expected, tolerance);
}

function exactDifference(name: string, actual: HostTensor, expected: HostTensor): string | undefined {
  const wrong: number[] = [];
  for (let index = 0; index < expected.data.length; index++) if (actual.data[index] !== expected.data[index]) wrong.push(index);
  if (wrong.length === 0) return undefined;
  const first = wrong[0]!;
  return (
    `${place(name, first, expected.shape)} is ${String(actual.data[first])} and should be ${String(expected.data[first])}; ` + share(wrong.length, expected)
  );
}

function valueDifference(name: string, actual: HostTensor, expected: HostTensor, tolerance: Tolerance): string | undefined {
  const values = castTensor(actual, 'float64').data as Float64Array;
  const targets = castTensor(expected, 'float64').data as Float64Array;
  // Integers and booleans must be exact; 16-bit floats cannot be closer than their own rounding.
  const exact = !expected.dtype.includes('float');
  const relative = exact
    ? 0
    : dtypeBits(expected.dtype) === 16 && tolerance.relative > 0
      ? Math.max(tolerance.relative, expected.dtype === 'float16' ? 2 ** -10 : 2 ** -7)
      : tolerance.relative;
  const absolute = exact ? 0 : tolerance.absolute;
  let wrong = 0;
  let worst = -1;
  let worstExcess = -1;
  for (let index = 0; index < targets.length; index++) {
    const value = values[index]!;
    const target = targets[index]!;
    if (value === target || (Number.isNaN(value) && Number.isNaN(target))) continue;
    const excess = Math.abs(value - target) - absolute - relative * Math.abs(target);
    if (excess <= 0) continue;
    wrong++;
    const rank = Number.isFinite(excess) ? excess : Infinity;
    if (rank > worstExcess) {
      worst = index;
      worstExcess = rank;
    }
  }
  if (wrong === 0) return undefined;
  const allowed = relative === 0 && absolute === 0 ? 'exactly' : `within ${absolute.toExponential(0)} + ${relative.toExponential(1)}·|expected|`;
  return `${place(name, worst, expected.shape)} is ${String(values[worst])} and should be ${String(targets[worst])} (${allowed}); ${share(wrong, expected)}`;
}

function share(wrong: number, expected: HostTensor): string {
  const total = expected.data.length;
  return wrong === 1 ? `the only wrong one of ${String(total)} elements` : `${String(wrong)} of ${String(total)} elements are wrong, this one most`;
}

/** `output "y" at [2, 0, 1]`. */
function place(name: string, index: number, shape: readonly number[]): string {
  const coordinates: number[] = [];
  let rest = index;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    coordinates.unshift(rest % shape[axis]!);
    rest = Math.floor(rest / shape[axis]!);
  }
  return `output "${name}" at ${list(coordinates)}`;
}
