import { z } from 'zod';

export const generationOptions = z.strictObject({
  samples: z.int().min(0).default(0).describe('Items to evaluate, from the start of the file; 0 for all.'),
  promptTemplate: z
    .string()
    .min(1)
    .default('Question: {question}\nAnswer:')
    .describe('What the model continues; {name} stands for a text of the item. Items without these texts use their query or ctx as it is.'),
  addBos: z.boolean().default(false).describe("Begin with the tokenizer's beginning-of-text token."),
  maxNewTokens: z.int().min(1).default(64).describe('Tokens after which a continuation ends.'),
  stop: z.array(z.string().min(1)).default(['Question:', '\n\n']).describe('Texts at which a continuation ends; they are not part of it. The end-of-text token always ends it.'),
  temperature: z.number().min(0).default(0).describe('Logits are divided by it before a token is drawn; 0 takes the likeliest token.'),
  topK: z.int().min(0).default(0).describe('Draw from this many of the likeliest tokens only; 0 for all.'),
  topP: z.number().gt(0).max(1).default(1).describe('Draw from the likeliest tokens only that together reach this probability.'),
  extraction: z
    .enum(['auto', 'pattern', 'last-number', 'text'])
    .default('auto')
    .describe('Where the answer stands: behind the last match of answerPattern, the last number, the whole text; auto takes the pattern, else the last number for a number and the first line otherwise.'),
  answerPattern: z
    .string()
    .default('(?:answer is|answer:|####)\\s*(.+)')
    .refine(isPattern, 'is not a regular expression with a group')
    .describe('Regular expression, whatever the case, whose first group is the answer.'),
  batchSize: z.int().min(1).default(16).describe('Items that run together.'),
});

export type GenerationOptions = z.infer<typeof generationOptions>;

function isPattern(source: string): boolean {
  try {
    // Matching nothing against "or nothing" gives an entry for every group.
    return new RegExp(`${source}|`).exec('')!.length > 1;
  } catch {
    return false;
  }
}
