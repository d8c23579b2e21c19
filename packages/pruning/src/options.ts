import type { SparsityPattern } from '@pare/core';
import { parseSparsityPattern } from '@pare/weights';
import { z } from 'zod';

/** The option `sparsity` of pruning techniques. */
export const sparsityOption = z
  .number()
  .gt(0)
  .lt(1)
  .default(0.5)
  .describe('Share of weights that become zero, above 0 and below 1. N:M patterns have a share of their own: leave this at 0.5, or set it to N/M.');

/** The option `pattern` of pruning techniques. */
export const patternOption = z
  .string()
  .refine((text) => parseSparsityPattern(text) !== undefined, 'is "unstructured" or N:M with 0 < N < M, such as 2:4')
  .default('unstructured')
  .describe('Where zeros may lie: unstructured, or N:M for N zeros in every M neighbouring inputs of an output, such as 2:4 and 4:8. M must divide the input width.');

/** The options that pruning techniques have in common. */
export interface SparsityOptions {
  readonly sparsity: number;
  readonly pattern: string;
}

/** The pattern of options that fit their schema. */
export function patternOf({ pattern }: Pick<SparsityOptions, 'pattern'>): SparsityPattern {
  const parsed = parseSparsityPattern(pattern);
  if (parsed === undefined) throw new RangeError(`"${pattern}" is no sparsity pattern`);
  return parsed;
}
