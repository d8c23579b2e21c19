import { z } from 'zod';

/** Options of techniques that learn from what a teacher writes: pieces for their `z.strictObject`. */
export const blackBoxTeacherOptions = {
  teacher: z
    .string()
    .min(1)
    .optional()
    .describe('The teacher: a folder or a hub name, whose tokens need not be the model\'s; by default the model as it was before the first stage of the recipe. An endpoint takes its place.'),
  endpoint: z.string().min(1).optional().describe('Address of an OpenAI-compatible chat endpoint, up to /chat/completions: http://localhost:8000/v1.'),
  endpointModel: z.string().min(1).optional().describe('The endpoint\'s name of the model; required with endpoint.'),
  keyVariable: z.string().min(1).optional().describe('Environment variable that holds the endpoint\'s key; no key is sent without. The key itself is written nowhere.'),
  system: z.string().min(1).optional().describe('Instruction that the endpoint gets before each prompt.'),
  concurrency: z.int().min(1).default(4).describe('Requests to the endpoint at a time.'),
  requestsPerMinute: z.number().min(0).default(0).describe('Most requests to the endpoint in a minute; 0 for no limit.'),
  tokensPerMinute: z.number().min(0).default(0).describe('Most tokens, of prompts and answers, in a minute; 0 for no limit.'),
  timeout: z.number().positive().default(120).describe('Seconds until a request counts as failed.'),
  retries: z.int().min(0).default(5).describe('Attempts after a failed one, with pauses that grow.'),
  answersPerRequest: z.int().min(1).default(1).describe('Answers that one request asks for; above 1 only for endpoints that know "n".'),
  lengthField: z.enum(['max_tokens', 'max_completion_tokens']).default('max_tokens').describe('Field of a request that limits the answer; newer OpenAI models take max_completion_tokens only.'),
  sendSeed: z.boolean().default(true).describe('Sends the seed; some endpoints refuse fields that they do not know.'),
  promptPrice: z.number().min(0).default(0).describe('Price of a million tokens of prompts, for the estimate before anything is asked.'),
  answerPrice: z.number().min(0).default(0).describe('Price of a million tokens of answers.'),
  budget: z.number().positive().optional().describe('Highest price that may be spent; more is refused before anything is asked.'),
  answerFolder: z.string().min(1).optional().describe('Folder for the endpoint\'s answers, which another run takes from there; by default in the cache of the command.'),
};

export type BlackBoxTeacherOptions = z.output<z.ZodObject<typeof blackBoxTeacherOptions>>;

/** How the teacher answers: further pieces. */
export const answerOptions = {
  temperature: z.number().min(0).default(1).describe('The teacher\'s logits are divided by it; 0 takes its likeliest answer.'),
  topP: z.number().gt(0).max(1).default(1).describe('Only the likeliest tokens that together reach this probability may be drawn.'),
  maxNewTokens: z.int().min(1).default(128).describe('Longest answer, in the teacher\'s tokens.'),
  stop: z.array(z.string().min(1)).default([]).describe('Texts that end an answer and are no part of it.'),
  answers: z.int().min(1).default(1).describe('Answers to each prompt; several need a temperature above 0, or beams.'),
  beams: z.int().min(1).default(1).describe('Above 1 the likeliest answers are searched with so many beams, and none are drawn; for teachers at hand.'),
  teacherBatch: z.int().min(1).default(64).describe('Prompts that a teacher at hand answers together.'),
};

export type AnswerOptions = z.output<z.ZodObject<typeof answerOptions>>;

/** Why these options make no teacher; undefined when they do. */
export function teacherProblem({ endpoint, endpointModel, teacher, budget, promptPrice, answerPrice, temperature, answers, beams }: BlackBoxTeacherOptions & Pick<AnswerOptions, 'temperature' | 'answers' | 'beams'>): string | undefined {
  if (endpoint !== undefined && endpointModel === undefined) return 'endpoint needs endpointModel, the name of the model there';
  if (endpoint !== undefined && teacher !== undefined) return 'teacher and endpoint are both given; leave one out';
  if (endpoint === undefined && endpointModel !== undefined) return 'endpointModel needs endpoint, the address';
  if (budget !== undefined && promptPrice + answerPrice === 0) return 'budget needs promptPrice and answerPrice';
  if (beams > 1 && endpoint !== undefined) return 'an endpoint searches no beams; leave beams out, or take temperature: 0';
  if (beams > 1) return answers > beams ? `${String(beams)} beams find no ${String(answers)} answers; raise beams, or ask for fewer` : undefined;
  if (answers > 1 && temperature === 0) return `${String(answers)} answers at temperature 0 would all be the same; raise temperature, or ask for one`;
  return undefined;
}
