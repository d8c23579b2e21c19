import { z } from 'zod';

/** Options of compute. */
export const computeOptions = z.strictObject({
  sequenceLength: z.int().min(1).default(64).describe('Tokens that pass through the model at once. 1 with a pastLength is a decoding step.'),
  pastLength: z.int().min(0).default(0).describe('Positions in the key-value cache before them.'),
  effective: z.boolean().default(true).describe('Also read the weights and leave out the products with weights that are exactly zero.'),
});

export type ComputeOptions = z.infer<typeof computeOptions>;
