import type { HostTensor, IndexRun, ModelRemoval } from '@pare/core';
import { hostTensor, type TypedArray } from '@pare/core';

/** Runs that remain of an axis, by tensor name and axis. */
export class KeptIndices {
  readonly #removed = new Map<string, ReadonlyMap<number, readonly IndexRun[]>>();

  constructor({ slices }: Pick<ModelRemoval, 'slices'>) {
    for (const { tensor, axis, runs } of slices) {
      const known = this.#removed.get(tensor);
      const merged = [...(known?.get(axis) ?? []), ...runs];
      this.#removed.set(tensor, new Map([...(known ?? []), [axis, merged]]));
    }
  }

  /** True when some of the tensor goes. */
  touches(tensor: string): boolean {
    return this.#removed.has(tensor);
  }

  get tensors(): IterableIterator<string> {
    return this.#removed.keys();
  }

  /** What remains of an axis of this size. */
  runs(tensor: string, axis: number, size: number): IndexRun[] {
    const kept: IndexRun[] = [];
    let place = 0;
    for (const { start, length } of [...(this.#removed.get(tensor)?.get(axis) ?? [])].sort((a, b) => a.start - b.start)) {
      if (start > place) kept.push({ start: place, length: start - place });
      place = Math.max(place, start + length);
    }
    if (place < size) kept.push({ start: place, length: size - place });
    return kept;
  }

  /** The shape that remains of a tensor's logical shape. */
  shape(tensor: string, shape: readonly number[]): number[] {
    return shape.map((size, axis) => this.runs(tensor, axis, size).reduce((sum, { length }) => sum + length, 0));
  }

  /** What remains of a tensor in its logical shape. */
  apply(tensor: string, value: HostTensor): HostTensor {
    return value.shape.reduce((rest, size, axis) => {
      const runs = this.runs(tensor, axis, size);
      return runs.length === 1 && runs[0]!.length === size ? rest : selectRuns(rest, axis, runs);
    }, value);
  }
}

/** The indices of some runs along an axis. */
function selectRuns(tensor: HostTensor, axis: number, runs: readonly IndexRun[]): HostTensor {
  const { shape, data, dtype } = tensor;
  const size = shape[axis]!;
  const outer = shape.slice(0, axis).reduce((product, each) => product * each, 1);
  const inner = shape.slice(axis + 1).reduce((product, each) => product * each, 1);
  const kept = runs.reduce((sum, { length }) => sum + length, 0);
  const result = new (data.constructor as new (length: number) => TypedArray)(outer * kept * inner);
  let place = 0;
  for (let row = 0; row < outer; row++) {
    for (const { start, length } of runs) {
      const from = (row * size + start) * inner;
      result.set(data.subarray(from, from + length * inner) as never, place);
      place += length * inner;
    }
  }
  return hostTensor(dtype, [...shape.slice(0, axis), kept, ...shape.slice(axis + 1)], result);
}

/** The shape that a removal leaves of a tensor's logical shape, [out, in] for matrices. */
export function remainingShape(removal: ModelRemoval, tensor: string, shape: readonly number[]): number[] {
  return removal.removed.includes(tensor) ? shape.map(() => 0) : new KeptIndices({ slices: removal.slices.filter((slice) => slice.tensor === tensor) }).shape(tensor, shape);
}
