import { z } from 'zod';

/** Options of every format that writes Hugging Face folders, to be spread into its schema. */
export const folderOptionFields = {
  multiplyOut: z
    .boolean()
    .default(false)
    .describe('Multiply factorized weights out and write the products dense: every loader opens the folder, but these matrices are as large and as slow as before.'),
  maximumShardBytes: z.int().min(1).default(5_000_000_000).describe('Most bytes of tensors in one weight file.'),
};

export interface FolderOptions {
  readonly multiplyOut: boolean;
  readonly maximumShardBytes: number;
}
