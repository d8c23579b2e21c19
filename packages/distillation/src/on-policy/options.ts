import { z } from 'zod';

/** Options of techniques that have texts written behind prompts: pieces for a `z.strictObject`, which may replace a default. */
export const samplingOptions = {
  promptTemplate: z
    .string()
    .min(1)
    .default('Question: {question}\nAnswer:')
    .describe('What is made of an item of --prompts; {name} stands for a text of the item. Items without these texts use their query, ctx or prompt.'),
  responseTemplate: z.string().min(1).default(' {answer}').describe('What the data has behind a prompt; items without these texts use their response, completion or output.'),
  promptTokens: z.int().min(1).default(32).describe('Without --prompts: tokens at the beginning of each window of the calibration text that are its prompt. What follows them is the response.'),
  maxNewTokens: z.int().min(1).default(64).describe('Tokens of a response at most.'),
  temperature: z.number().positive().default(1).describe('Temperature that responses are drawn with.'),
  topK: z.int().min(0).default(0).describe('Draw from this many of the likeliest tokens; 0 for all.'),
  topP: z.number().gt(0).max(1).default(1).describe('Draw from the likeliest tokens that together reach this probability.'),
};

export type SamplingTechniqueOptions = z.output<z.ZodObject<typeof samplingOptions>>;
