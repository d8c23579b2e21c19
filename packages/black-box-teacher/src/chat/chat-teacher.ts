import { throwIfAborted, type FileSystem, type PareError } from '@pare/core';
import { backoff, failureReason, retry, sha256 } from '@pare/platform';
import type { AnswerCost, AskOptions, AnswerSettings, BlackBoxTeacher, TeacherAnswer } from '../teacher.js';
import { busy, nonsense, refused, tooExpensive, unreachable } from '../teacher-errors.js';
import { AnswerCache } from './answer-cache.js';
import { systemClock, type Clock } from './clock.js';
import { errorText, excerpt, Nonsense, readCompletion, type Completion } from './completion.js';
import { MinuteBudget } from './minute-budget.js';
import { retryAfterSeconds } from './retry-after.js';

/** Prices of a million tokens, in any one currency. */
export interface ChatPrices {
  readonly prompt: number;
  readonly answer: number;
}

export interface ChatTeacherOptions {
  /** Address up to `/chat/completions`: `https://api.example.com/v1`. */
  readonly endpoint: string;
  /** The endpoint's name of the model. */
  readonly model: string;
  /** Sent as a bearer token, and nowhere else: no message, log or file holds it. */
  readonly key?: string | undefined;
  /** Name of the variable that the key came from, for messages. */
  readonly keyVariable?: string | undefined;
  /** Instruction before each prompt. */
  readonly system?: string | undefined;
  /** Answers that one request asks for, with `n`; 1 by default, which every endpoint understands. */
  readonly answersPerRequest?: number | undefined;
  /** Field that limits an answer's length; `max_tokens` by default. Newer OpenAI models take `max_completion_tokens` only. */
  readonly lengthField?: 'max_tokens' | 'max_completion_tokens' | undefined;
  /** Send `seed`; true by default. Some endpoints refuse fields that they do not know. */
  readonly sendSeed?: boolean | undefined;
  /** Requests at a time; 4 by default. */
  readonly concurrency?: number | undefined;
  /** Limits per minute; none by default. */
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
  /** Seconds until a request counts as failed; 120 by default. */
  readonly timeout?: number | undefined;
  /** Attempts after a failed one; 5 by default. */
  readonly retries?: number | undefined;
  /** Longest pause, in seconds, that a busy endpoint may ask for; 300 by default. */
  readonly longestPause?: number | undefined;
  /** Whether an empty text counts as a failure (`refuse`, the default) or as an answer. */
  readonly emptyAnswers?: 'refuse' | 'keep' | undefined;
  readonly prices?: ChatPrices | undefined;
  /** Highest price that may be spent; needs `prices`. */
  readonly budget?: number | undefined;
  /** Where answers are kept; nowhere by default. */
  readonly cache?: { readonly files: FileSystem; readonly folder: string } | undefined;
  readonly warn?: ((message: string) => void) | undefined;
  readonly fetch?: typeof fetch | undefined;
  readonly clock?: Clock | undefined;
}

/** One request: some of the answers to a prompt. */
interface Job {
  readonly key: string;
  readonly body: string;
  readonly count: number;
  /** Tokens at most, about: for the limit per minute. */
  readonly tokens: number;
  readonly promptTokens: number;
}

/** Equal requests are made once. */
function uniqueJobs(jobs: readonly Job[]): Job[] {
  return [...new Map(jobs.map((job) => [job.key, job])).values()];
}

/** A failed attempt: what to say of it, and whether to try again. */
class Failure extends Error {
  readonly error: PareError;
  readonly final: boolean;
  /** Seconds that the endpoint asks to wait. */
  readonly pause: number | undefined;

  constructor(error: PareError, { final = false, pause }: { readonly final?: boolean; readonly pause?: number | undefined } = {}) {
    super(error.message);
    this.error = error;
    this.final = final;
    this.pause = pause;
  }
}

/** Seconds before the second attempt, and at most before a later one. */
const pauses = { first: 1, most: 60 };

/**
 * A teacher behind an OpenAI-compatible chat endpoint (`POST …/chat/completions`): OpenAI and those who copy it, vLLM, llama.cpp's server, Ollama. Each answer is kept as soon as it arrives, by
 * the hash of its request. Failures that may pass are tried again with growing pauses; when the endpoint says how long to wait, all requests wait.
 */
export class ChatTeacher implements BlackBoxTeacher {
  readonly name: string;
  readonly #options: ChatTeacherOptions;
  readonly #url: string;
  readonly #clock: Clock;
  readonly #cache: AnswerCache | undefined;
  readonly #requests: MinuteBudget | undefined;
  readonly #tokens: MinuteBudget | undefined;
  /** Until then the endpoint wants to hear nothing. */
  #quietUntil = 0;

  /** Price at most of all that was asked. */
  #committed = 0;

  /** @throws PARE_TEACHER_UNREACHABLE for an address that is none */
  constructor(options: ChatTeacherOptions) {
    this.#options = options;
    const address = parseAddress(options.endpoint);
    this.name = `${options.model} at ${address.origin}${address.pathname.replace(/\/+$/, '')}`;
    this.#url = completionsUrl(address);
    this.#clock = options.clock ?? systemClock;
    const { requestsPerMinute = 0, tokensPerMinute = 0, cache, warn = () => undefined } = options;
    this.#cache = cache === undefined ? undefined : new AnswerCache({ ...cache, warn });
    this.#requests = requestsPerMinute > 0 ? new MinuteBudget(requestsPerMinute, this.#clock) : undefined;
    this.#tokens = tokensPerMinute > 0 ? new MinuteBudget(tokensPerMinute, this.#clock) : undefined;
  }

  async cost(prompts: readonly string[], settings: AnswerSettings): Promise<AnswerCost> {
    const unique = uniqueJobs(prompts.flatMap((prompt) => this.#jobs(prompt, settings)));
    const open: Job[] = [];
    for (const job of unique) if ((await this.#cache?.read(job.key)) === undefined) open.push(job);
    const promptTokens = open.reduce((sum, job) => sum + job.promptTokens, 0);
    const answerTokens = open.reduce((sum, { count }) => sum + count * settings.maxTokens, 0);
    const { prices } = this.#options;
    const price = prices === undefined ? undefined : (promptTokens * prices.prompt + answerTokens * prices.answer) / 1e6;
    return { requests: open.length, kept: unique.length - open.length, promptTokens, answerTokens, price };
  }

  /**
   * Answers of a failed run stay kept.
   * @throws PARE_TEACHER_UNREACHABLE, PARE_TEACHER_BUSY, PARE_TEACHER_REFUSED, PARE_TEACHER_NONSENSE, PARE_TEACHER_BUDGET, PARE_ABORTED
   */
  async answer(prompts: readonly string[], settings: AnswerSettings, { signal, onProgress }: AskOptions = {}): Promise<TeacherAnswer[][]> {
    await this.#checkBudget(prompts, settings);
    const jobs = prompts.map((prompt) => this.#jobs(prompt, settings));
    const answers = new Map<string, readonly TeacherAnswer[]>();
    // The first failure ends the others.
    const failed = new AbortController();
    const stop = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
    let completed = 0;
    const unique = uniqueJobs(jobs.flat());
    const queue = unique.values();
    const work = async (): Promise<void> => {
      for (const job of queue) {
        throwIfAborted(signal, `asking ${this.name}`);
        answers.set(job.key, await this.#ask(job, stop));
        onProgress?.(++completed, unique.length);
      }
    };
    const workers = Array.from({ length: this.#options.concurrency ?? 4 }, () =>
      work().catch((error: unknown) => {
        failed.abort(error);
        throw error;
      }),
    );
    const ends = await Promise.allSettled(workers);
    throwIfAborted(signal, `asking ${this.name}`);
    if (ends.some(({ status }) => status === 'rejected')) throw failed.signal.reason;
    return jobs.map((each) => each.flatMap(({ key }) => answers.get(key)!));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  async #checkBudget(prompts: readonly string[], settings: AnswerSettings): Promise<void> {
    const { budget } = this.#options;
    if (budget === undefined) return;
    const { price = 0 } = await this.cost(prompts, settings);
    const total = this.#committed + price;
    if (total > budget) throw tooExpensive(this.name, total.toFixed(2), budget.toFixed(2));
    this.#committed = total;
  }

  #jobs(prompt: string, { count, temperature, topP, maxTokens, stop, seed }: AnswerSettings): Job[] {
    const { model, system, answersPerRequest = 1, lengthField = 'max_tokens', sendSeed = true } = this.#options;
    const jobs: Job[] = [];
    for (let first = 0; first < count; first += answersPerRequest) {
      const n = Math.min(answersPerRequest, count - first);
      const body = JSON.stringify({
        model,
        messages: [...(system === undefined ? [] : [{ role: 'system', content: system }]), { role: 'user', content: prompt }],
        temperature,
        top_p: topP,
        [lengthField]: maxTokens,
        ...(stop.length === 0 ? {} : { stop }),
        ...(n === 1 ? {} : { n }),
        ...(sendSeed ? { seed: seed + first } : {}),
      });
      const promptTokens = guessTokens((system ?? '') + prompt);
      // The seed counts even where the endpoint does not hear of it: other answers are wanted then.
      jobs.push({ key: sha256(JSON.stringify([1, this.#url, body, seed + first])), body, count: n, promptTokens, tokens: promptTokens + n * maxTokens });
    }
    return jobs;
  }

  async #ask(job: Job, signal: AbortSignal): Promise<readonly TeacherAnswer[]> {
    const kept = await this.#cache?.read(job.key);
    if (kept !== undefined) return kept;
    const { retries = 5, longestPause = 300 } = this.#options;
    let attempts = 0;
    try {
      const { answers } = await retry(
        () => {
          attempts++;
          return this.#attempt(job, signal);
        },
        {
          what: `asking ${this.name}`,
          signal,
          wait: (seconds, waiting) => this.#clock.wait(seconds, waiting),
          again: (error, attempt) => {
            if (!(error instanceof Failure) || error.final || attempt >= retries) return undefined;
            if (error.pause === undefined) return backoff(attempt, pauses);
            if (error.pause > longestPause) return undefined;
            this.#quietUntil = Math.max(this.#quietUntil, this.#clock.now() + error.pause);
            return error.pause;
          },
        },
      );
      await this.#cache?.write(job.key, answers);
      return answers;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (attempts > 1) error.error.message += `, ${String(attempts)} times`;
      throw error.error;
    }
  }

  async #attempt(job: Job, signal: AbortSignal): Promise<Completion> {
    await this.#requests?.take(1, signal);
    await this.#tokens?.take(job.tokens, signal);
    const quiet = this.#quietUntil - this.#clock.now();
    if (quiet > 0) await this.#clock.wait(quiet, signal);
    throwIfAborted(signal, `asking ${this.name}`);
    const { status, headers, text } = await this.#send(job.body, signal);
    if (status < 200 || status > 299) throw this.#refusal(status, headers, text);
    try {
      const completion = readCompletion(text, job.count);
      if (this.#options.emptyAnswers !== 'keep' && completion.answers.some((answer) => answer.text.trim() === '')) throw new Nonsense('an empty text', 'a text in choices[].message.content');
      if (completion.tokens !== undefined) this.#tokens?.charge(completion.tokens - job.tokens);
      return completion;
    } catch (error) {
      if (!(error instanceof Nonsense)) throw error;
      throw new Failure(nonsense(this.name, this.#redact(error.message), error.allowed));
    }
  }

  async #send(body: string, signal: AbortSignal): Promise<{ status: number; headers: Headers; text: string }> {
    const { key, timeout = 120, fetch: request = fetch } = this.#options;
    const limit = AbortSignal.timeout(timeout * 1000);
    const headers = { 'Content-Type': 'application/json', Accept: 'application/json', ...(key === undefined ? {} : { Authorization: `Bearer ${key}` }) };
    try {
      const response = await request(this.#url, { method: 'POST', headers, body, signal: AbortSignal.any([signal, limit]) });
      return { status: response.status, headers: response.headers, text: await response.text() };
    } catch (cause) {
      throwIfAborted(signal, `asking ${this.name}`);
      const found = limit.aborted ? `nothing within ${String(timeout)} seconds` : this.#redact(failureReason(cause));
      throw new Failure(unreachable(this.name, found));
    }
  }

  #refusal(status: number, headers: Headers, text: string): Failure {
    const said = this.#redact(excerpt(errorText(text)));
    const found = `status ${String(status)}${said === '' ? '' : ` (${said})`}`;
    const teacher = this.name;
    const pause = retryAfterSeconds(headers.get('retry-after'));
    const wait = pause === undefined ? '' : `, and asks to wait ${String(Math.ceil(pause))} seconds`;
    // Waiting brings no money.
    const final = text.includes('insufficient_quota');
    if (status === 429 && !final) return new Failure(busy(teacher, found + wait), { pause });
    if (status >= 500 || transient.has(status)) return new Failure(unreachable(teacher, found + wait), { pause });
    return new Failure(refused(teacher, found, this.#fix(status)), { final: true });
  }

  #fix(status: number): string {
    const { key, keyVariable, model } = this.#options;
    if (status === 401 || status === 403) {
      if (key === undefined) return `No key was sent: put one into the environment variable that keyVariable names${keyVariable === undefined ? '' : ` (${keyVariable})`}.`;
      return `Put a key that may use ${model} into ${keyVariable ?? 'the environment variable that keyVariable names'}.`;
    }
    if (status === 404 || status === 405) return `Check the address, to which /chat/completions is added, and the model's name, ${model}.`;
    if (status === 402 || status === 429) return 'The account has no credit left.';
    return 'Check what the endpoint allows: maxTokens, lengthField, sendSeed, temperature, answersPerRequest, the length of prompts.';
  }

  /** Endpoints like to repeat a wrong key. */
  #redact(text: string): string {
    const { key } = this.#options;
    return key === undefined || key === '' ? text : text.replaceAll(key, '[key]');
  }
}

/** Statuses beside 5xx that may pass: request timeout, conflict, too early. */
const transient = new Set([408, 409, 425]);

function parseAddress(endpoint: string): URL {
  const address = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (address?.protocol !== 'http:' && address?.protocol !== 'https:') {
    throw unreachable(endpoint, 'it is no address that begins with http:// or https://');
  }
  if (address.username !== '' || address.password !== '') {
    throw unreachable(address.origin, 'its address holds a user or password, and recipes and logs would, too; a key belongs into the environment (keyVariable)');
  }
  return address;
}

/** With the query, which may hold secrets and therefore is in no message. */
function completionsUrl(address: URL): string {
  const url = new URL(address);
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = path.endsWith('/chat/completions') ? path : `${path}/chat/completions`;
  return url.href;
}

/** Tokens of a text, about: four characters of English each. The endpoint's tokenizer is not known. */
function guessTokens(text: string): number {
  return Math.ceil(text.length / 4);
}

