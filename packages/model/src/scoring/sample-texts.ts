import { createRandom, type Random } from '@pare/core';
import { batchesByLength, type DecodingBatch, type TokenGenerator } from './generate-tokens.js';
import { drawToken, logProbability, pickToken, tokenProbabilities, type SamplingOptions } from './pick-token.js';

export interface SampleRequest extends SamplingOptions {
  /** Texts to continue, each of at least one token. */
  readonly prompts: readonly Int32Array[];
  readonly maxNewTokens: number;
  /** Tokens that end a text, such as the tokenizer's end-of-text token; none by default. */
  readonly stopTokens?: readonly number[] | undefined;
  /** Each prompt has random numbers of its own, so that what is drawn does not depend on the batches. */
  readonly seed: number;
  /** Prompts that run together; 16 by default. */
  readonly batchSize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Prompts that are done, of all. */
  readonly onProgress?: ((completed: number, total: number) => void) | undefined;
}

/** What a model wrote behind a prompt. */
export interface TextSample {
  /** New tokens, the one that ended the text among them. */
  readonly tokens: Int32Array;
  /** False where the text was cut off. */
  readonly ended: boolean;
}

/**
 * Draws texts from a model, one a prompt. Those of equal seeds are equal on one backend.
 * @throws as `generateTokens`
 */
export async function sampleTexts(generator: TokenGenerator, { seed, stopTokens = [], ...request }: SampleRequest): Promise<TextSample[]> {
  const randoms = request.prompts.map((_, prompt) => randomOf(seed, prompt));
  const tokens = await generator.generate({
    ...request,
    pick: (logits, prompt) => pickToken(logits, request, randoms[prompt]!),
    done: (drawn) => stopTokens.includes(drawn.at(-1)!),
  });
  return tokens.map((drawn) => ({ tokens: Int32Array.from(drawn), ended: stopTokens.includes(drawn.at(-1) ?? -1) }));
}

function randomOf(seed: number, prompt: number): Random {
  return createRandom(seed * 1_000_003 + prompt);
}

/** A text that teacher and student wrote together, and what both say of each of its tokens. */
export interface MixedSample extends TextSample {
  /** ln p(y), the teacher's, at temperature 1 over the whole vocabulary. */
  readonly teacher: Float64Array;
  /** ln q(y), the student's at the time, likewise. */
  readonly student: Float64Array;
  /** q(y) / p̃(y), p̃ being what the token was drawn by. Its expectation is 1 wherever p̃ leaves out no token that q may draw. */
  readonly importance: Float64Array;
}

export interface MixedSampleRequest extends SampleRequest {
  readonly student: TokenGenerator;
  /** Has the student's tokens. */
  readonly teacher: TokenGenerator;
  /** α, from 0 (the student alone) to 1. */
  readonly teacherShare: number;
}

/**
 * Draws texts token by token from p̃ = α p + (1 − α) q, a mixture of a teacher p and a student q (MiniLLM, arXiv 2306.08543, §2.2, eq. 4). `temperature`, `topK` and `topP` shape
 * both before they are mixed.
 * @throws as `generateTokens`
 */
export async function sampleMixedTexts({ student, teacher, ...request }: MixedSampleRequest): Promise<MixedSample[]> {
  const { prompts, maxNewTokens, batchSize = 16, seed, signal } = request;
  if (maxNewTokens < 1) throw new RangeError(`${String(maxNewTokens)} new tokens; at least one is needed`);
  const results: MixedSample[] = [];
  let completed = 0;
  for (const batch of batchesByLength(prompts, batchSize)) {
    const texts = batch.map((prompt) => prompts[prompt]!);
    using learning = student.begin(texts, maxNewTokens, signal);
    using knowing = teacher.begin(texts, maxNewTokens, signal);
    const rows = batch.map((prompt) => new MixedRow(randomOf(seed, prompt), request));
    await drawRows(rows, learning, knowing, request);
    for (const [row, prompt] of batch.entries()) results[prompt] = rows[row]!.sample();
    completed += batch.length;
    request.onProgress?.(completed, prompts.length);
  }
  return results;
}

async function drawRows(rows: readonly MixedRow[], student: DecodingBatch, teacher: DecodingBatch, { maxNewTokens }: SampleRequest): Promise<void> {
  let tokens: readonly number[] | undefined;
  for (let count = 0; count < maxNewTokens && !rows.every(({ ended }) => ended); count++) {
    const given = tokens;
    const advance = (side: DecodingBatch): Promise<Float32Array[]> => (given === undefined ? side.first() : side.next(given));
    const [q, p] = [await advance(student), await advance(teacher)];
    tokens = rows.map((row, index) => (row.ended ? 0 : row.draw(p[index]!, q[index]!)));
  }
}

class MixedRow {
  readonly #random: Random;
  readonly #options: Omit<MixedSampleRequest, 'student' | 'teacher'>;
  readonly #tokens: number[] = [];
  readonly #teacher: number[] = [];
  readonly #student: number[] = [];
  readonly #importance: number[] = [];
  ended = false;

  constructor(random: Random, options: Omit<MixedSampleRequest, 'student' | 'teacher'>) {
    this.#random = random;
    this.#options = options;
  }

  draw(teacher: Float32Array, student: Float32Array): number {
    const { teacherShare, stopTokens = [] } = this.#options;
    const [p, q] = [tokenProbabilities(teacher, this.#options), tokenProbabilities(student, this.#options)];
    const mixed = q.map((own, id) => teacherShare * p[id]! + (1 - teacherShare) * own);
    const token = drawToken(mixed, this.#random);
    const own = logProbability(student, token);
    this.#tokens.push(token);
    this.#teacher.push(logProbability(teacher, token));
    this.#student.push(own);
    this.#importance.push(Math.exp(own) / mixed[token]!);
    this.ended = stopTokens.includes(token);
    return token;
  }

  sample(): MixedSample {
    const [teacher, student, importance] = [this.#teacher, this.#student, this.#importance].map((values) => Float64Array.from(values)) as [Float64Array, Float64Array, Float64Array];
    return { tokens: Int32Array.from(this.#tokens), ended: this.ended, teacher, student, importance };
  }
}
