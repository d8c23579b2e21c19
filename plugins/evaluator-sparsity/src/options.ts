import { z } from 'zod';
import { parsePattern } from './pattern.js';

/** Options of sparsity. */
export const sparsityOptions = z.strictObject({
  patterns: z
    .array(z.string().refine((text) => parsePattern(text) !== undefined, 'N:M with 0 < N < M, such as 2:4'))
    .default(['2:4', '4:8', '1:4'])
    .describe('N:M patterns to check of each matrix: at most N of every M neighbouring inputs of a row are not zero.'),
});

export type SparsityOptions = z.infer<typeof sparsityOptions>;
