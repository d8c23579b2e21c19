import { z } from 'zod';

/** The options of techniques that replace a matrix by two of lower rank. */
export const rankOptions = {
  by: z
    .enum(['ratio', 'energy', 'rank'])
    .default('ratio')
    .describe('What sets the rank of each matrix: the numbers that its factors may hold (ratio), how much of its square sum they keep (energy), or the option rank itself.'),
  ratio: z.number().gt(0).lt(1).default(0.8).describe('With by ratio: numbers in the two factors, divided by those in the matrix; rank = floor(ratio · out · in / (out + in)), at least 1.'),
  energy: z.number().gt(0).lt(1).default(0.95).describe('With by energy: the smallest rank whose squared singular values add up to this share of all.'),
  rank: z.int().min(1).default(64).describe('With by rank: the rank of every matrix that is large enough to gain from it.'),
  multipleOf: z.int().min(1).default(1).describe('Ranks are rounded down to a multiple of this, and up where nothing would be left: 16 or 32 for factors that are to be quantized in groups.'),
};

export interface RankOptions {
  readonly by: 'ratio' | 'energy' | 'rank';
  readonly ratio: number;
  readonly energy: number;
  readonly rank: number;
  readonly multipleOf: number;
}
