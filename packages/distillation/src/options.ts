import { z } from 'zod';

/** Options of every technique that trains: pieces for its `z.strictObject`, which may replace a default. */
export const trainingOptions = {
  steps: z.int().min(1).default(200).describe('Steps of the optimizer.'),
  batchSize: z.int().min(1).default(8).describe('Windows of the text in each step.'),
  microBatch: z.int().min(1).default(4).describe('Windows that are computed together; fewer take less memory.'),
  learningRate: z.number().positive().default(1e-4).describe('Highest learning rate of AdamW.'),
  warmup: z.int().min(0).default(10).describe('Steps over which the learning rate rises; then it falls in half a cosine.'),
  weightDecay: z.number().min(0).default(0).describe('Decoupled weight decay of matrices.'),
  clipNorm: z.number().positive().default(1).describe('Gradients are scaled so that their norm is at most this.'),
  loraRank: z.int().min(0).default(0).describe('0 trains all parameters; above 0 only adapters of this rank on the targets, which are merged in the end.'),
  loraAlpha: z.number().positive().default(16).describe('The product of an adapter is scaled by this over its rank.'),
  recompute: z.boolean().default(true).describe('Computes each block again in the backward pass, so that one block\'s intermediate values are held at a time.'),
};

export type TrainingOptions = z.output<z.ZodObject<typeof trainingOptions>>;

/** Those that say what is trained. */
export type AdapterOptions = Pick<TrainingOptions, 'loraRank' | 'loraAlpha'>;

/** Who teaches: undefined for the model as it was before the recipe. */
export const teacherOption = z
  .string()
  .min(1)
  .optional()
  .describe('The teacher: a folder or a hub name with the same tokens; by default the model as it was before the first stage of the recipe.');
