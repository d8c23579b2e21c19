import { z } from 'zod';

/** Options of `tensorgpt`. */
export const tensorGptOptions = z.strictObject({
  factors: z
    .array(z.int().min(2))
    .default([])
    .describe('Sizes that an embedding is folded to, first slowest: [8, 8, 12] for 768. Zeros fill what their product has over. Empty: 2 × 2 × … up to the next power of two, the finest.'),
  maxRank: z.int().min(1).default(4).describe('Largest rank between two cores. 1 is smallest and keeps little; numbers stored grow with its square.'),
  tolerance: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe('Relative error that no embedding has to exceed: ranks are only as large as that takes, maxRank at most. 0: maxRank everywhere.'),
});

export type TensorGptOptions = z.output<typeof tensorGptOptions>;

/** The sizes that options fold rows of a width to. */
export function trainSizes({ factors }: TensorGptOptions, width: number): readonly number[] {
  return factors.length > 0 ? factors : Array.from({ length: Math.max(2, Math.ceil(Math.log2(width))) }, () => 2);
}
