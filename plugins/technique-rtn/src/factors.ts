import { dtypeBits, type FactorizedWeight, type FactorWeight, type ModuleInfo, type ModulePlan, type ModuleReport } from '@pare/core';
import { denseFloat32, factorizedWeight, fittingGroupSizes, quantizedBits, resolveScaleType, resolveScheme, squaredError } from '@pare/weights';
import type { RtnOptions } from './options.js';
import { roundMatrix } from './rounding.js';

/** Why groups do not divide rows of `width` inputs, or undefined when they do. */
export function groupProblem(what: string, width: number, { granularity, groupSize }: RtnOptions): string | undefined {
  if (granularity !== 'group' || groupSize === -1 || width % groupSize === 0) return undefined;
  return `groupSize ${String(groupSize)} does not divide its ${what}; sizes that do: ${[-1, ...fittingGroupSizes(width)].join(', ')}`;
}

/** Why groups do not divide the rank that a stage before gave a module, with the way out. */
export function rankProblem(rank: number, options: RtnOptions): string | undefined {
  const problem = groupProblem(`rank, ${String(rank)}, which its left factor has for inputs`, rank, options);
  return problem === undefined ? undefined : `${problem}; or let the stage that factorizes round ranks with multipleOf: ${String(options.groupSize)}`;
}

/** Bits of both factors in codes. Where the rank depends on the weights, it is taken to be what the stage before estimated its size with. */
export function planFactors({ shape, dtype }: ModuleInfo, options: RtnOptions, before: ModulePlan): Pick<ModulePlan, 'produces' | 'storedBits' | 'rank' | 'estimated'> {
  const [rows, columns] = shape;
  const { rank } = before;
  const scaleType = resolveScaleType(options.scaleType, dtype);
  const bitsAt = (width: number): number => quantizedBits([rows, width], resolveScheme(options, width), scaleType) + quantizedBits([width, columns], resolveScheme(options, columns), scaleType);
  const likely = rank ?? Math.max(1, Math.round(before.storedBits / (dtypeBits(dtype) * (rows + columns))));
  return { produces: 'factorized', storedBits: bitsAt(likely), rank, estimated: rank === undefined ? true : before.estimated };
}

/**
 * Rounds the factors of a matrix. Groups run along each factor's own inputs: those of the left one along the rank. A left factor whose rank they do not divide stays as it
 * is, which happens only where the rank was not known when the recipe was planned.
 */
export async function roundFactors(form: FactorizedWeight, info: ModuleInfo, options: RtnOptions, signal: AbortSignal): Promise<{ readonly form: FactorizedWeight; readonly report: ModuleReport }> {
  const [rows, columns] = form.shape;
  const rank = form.left.shape[1]!;
  const scaleType = resolveScaleType(options.scaleType, info.dtype);
  const round = async (factor: FactorWeight, shape: readonly [number, number]): Promise<{ factor: FactorWeight; loss: number }> => {
    const values = denseFloat32(factor);
    const codes = await roundMatrix(values, shape, options, scaleType, signal);
    // Zero is a point of every grid, so what an earlier stage pruned stays exactly zero.
    return { factor: factor.form === 'sparse' ? { ...factor, values: codes } : codes, loss: squaredError(values, codes) };
  };
  const right = await round(form.right, [rank, columns]);
  const problem = rankProblem(rank, options);
  if (problem !== undefined) return { form: factorizedWeight(form.left, right.factor), report: { loss: right.loss, fallback: `its left factor stays as it is: ${problem}`, details: { rank } } };
  const left = await round(form.left, [rows, rank]);
  return { form: factorizedWeight(left.factor, right.factor), report: { loss: left.loss + right.loss, details: { rank } } };
}
