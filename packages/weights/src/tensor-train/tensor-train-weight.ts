import type { HostTensor, TensorTrainWeight } from '@pare/core';

/** How the rows of a matrix are folded and cut. */
export interface TrainShape {
  /** I_1 … I_N. */
  readonly sizes: readonly number[];
  /** r_1 … r_(N−1). */
  readonly ranks: readonly number[];
}

/** Shapes [r_(k−1), I_k, r_k] of one row's cores. */
export function coreShapes({ sizes, ranks }: TrainShape): (readonly [number, number, number])[] {
  return sizes.map((size, index) => [ranks[index - 1] ?? 1, size, ranks[index] ?? 1] as const);
}

/** Numbers that a row's cores hold: Σ r_(k−1) · I_k · r_k. */
export function trainNumbers(shape: TrainShape): number {
  return coreShapes(shape).reduce((sum, [left, size, right]) => sum + left * size * right, 0);
}

/** Ranks that lose nothing, r_k = min(∏_(j≤k) I_j, ∏_(j>k) I_j), cut off at a largest one. */
export function largestRanks(sizes: readonly number[], maxRank: number): number[] {
  const product = (part: readonly number[]): number => part.reduce((all, size) => all * size, 1);
  return sizes.slice(1).map((_, index) => Math.min(maxRank, product(sizes.slice(0, index + 1)), product(sizes.slice(index + 1))));
}

/** Sizes and ranks of a weight. */
export function trainShape({ sizes, cores }: TensorTrainWeight): TrainShape {
  return { sizes, ranks: cores.slice(0, -1).map(({ shape }) => shape[3]!) };
}

/** Name of the constant that holds a core of the module `name`, in graphs and files. */
export function trainCoreName(name: string, index: number): string {
  return `${name}.core.${String(index)}`;
}

/** The tensor-train form of a matrix. @throws RangeError when the cores do not follow on each other */
export function tensorTrainWeight(shape: readonly [number, number], sizes: readonly number[], cores: readonly HostTensor[]): TensorTrainWeight {
  const form: TensorTrainWeight = { form: 'tensor-train', shape, sizes, cores };
  const problem = coresProblem(form);
  if (problem !== undefined) throw new RangeError(problem);
  return form;
}

/** Why cores do not make a matrix, or undefined when they do. */
export function coresProblem({ shape: [rows, columns], sizes, cores }: TensorTrainWeight): string | undefined {
  if (sizes.length < 2) return `it is folded to ${String(sizes.length)} sizes; trains have two or more`;
  if (cores.length !== sizes.length) return `it has ${String(cores.length)} cores for ${String(sizes.length)} sizes`;
  const folded = sizes.reduce((product, size) => product * size, 1);
  if (!Number.isInteger(folded) || folded < columns) return `sizes ${sizes.join('×')} hold ${String(folded)} numbers; a row has ${String(columns)}`;
  let rank = 1;
  for (const [index, { shape }] of cores.entries()) {
    const last = index === cores.length - 1;
    const fits = shape.length === 4 && shape[0] === rows && shape[1] === rank && shape[2] === sizes[index] && shape[3]! >= 1 && (!last || shape[3] === 1);
    if (!fits) return `core ${String(index + 1)} has shape [${shape.join(', ')}]; [${[rows, rank, sizes[index]!, last ? 1 : 'r'].join(', ')}] fits`;
    rank = shape[3]!;
  }
  return undefined;
}
