import { z } from 'zod';

export const multipleChoiceOptions = z.strictObject({
  samples: z.int().min(0).default(0).describe('Items to evaluate, from the start of the file; 0 for all.'),
  promptTemplate: z
    .string()
    .min(1)
    .default('Question: {question}\nAnswer:')
    .describe('What a choice follows; {name} stands for a text of the item. Items without these texts use their query or ctx as it is.'),
  delimiter: z.string().default(' ').describe('Text between prompt and choice.'),
  addBos: z.boolean().default(false).describe("Begin with the tokenizer's beginning-of-text token."),
});

export type MultipleChoiceOptions = z.infer<typeof multipleChoiceOptions>;
