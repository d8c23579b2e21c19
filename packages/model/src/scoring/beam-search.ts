import { batchesByLength, type DecodingBatch, type TokenGenerator } from './generate-tokens.js';

export interface BeamRequest {
  /** Texts to continue, each of at least one token. */
  readonly prompts: readonly Int32Array[];
  readonly maxNewTokens: number;
  /** Texts that are followed at the same time. */
  readonly beams: number;
  /** Texts to hand out for each prompt, the likeliest first; 1 by default, `beams` at most. */
  readonly count?: number | undefined;
  /** Whether a text is at its end, given its new tokens, the last of which was just added. */
  readonly done: (tokens: readonly number[]) => boolean;
  /** Texts that run together, beams included; 64 by default. */
  readonly batchSize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Prompts that are done, of all. */
  readonly onProgress?: ((completed: number, total: number) => void) | undefined;
}

/** A text that a search found. */
export interface BeamText {
  /** New tokens, the one that ended the text among them. */
  readonly tokens: readonly number[];
  /** Σ ln p of its tokens. */
  readonly logProbability: number;
  /** False where the text was cut off. */
  readonly ended: boolean;
}

/**
 * Searches for the likeliest texts behind prompts: of the continuations of `beams` texts the `beams` likeliest go on, by the sum of their logarithms, until as many have ended and none that goes on is
 * likelier. Of equal ones the lower token comes first. Those that ended come before those that were cut off.
 * @throws as `generateTokens`
 */
export async function searchBeams(generator: TokenGenerator, request: BeamRequest): Promise<BeamText[][]> {
  const { prompts, beams, batchSize = 64, maxNewTokens, signal } = request;
  const results: BeamText[][] = prompts.map(() => []);
  let completed = 0;
  for (const batch of batchesByLength(prompts, Math.max(1, Math.floor(batchSize / beams)))) {
    const searches = batch.map(() => new Search(request));
    using decoding = generator.begin(batch.flatMap((prompt) => new Array<Int32Array>(beams).fill(prompts[prompt]!)), maxNewTokens, signal);
    await run(decoding, searches, request);
    for (const [index, prompt] of batch.entries()) results[prompt] = searches[index]!.texts;
    completed += batch.length;
    request.onProgress?.(completed, prompts.length);
  }
  return results;
}

async function run(decoding: DecodingBatch, searches: readonly Search[], { beams, maxNewTokens }: BeamRequest): Promise<void> {
  let logits = await decoding.first();
  for (let count = 1; ; count++) {
    for (const [index, search] of searches.entries()) search.extend(logits.slice(index * beams, (index + 1) * beams));
    if (count === maxNewTokens || searches.every(({ done }) => done)) return;
    const rows = searches.flatMap(({ open }, index) =>
      Array.from({ length: beams }, (_, beam) => ({ parent: index * beams + (open[beam]?.parent ?? 0), token: open[beam]?.tokens.at(-1) ?? 0 })),
    );
    logits = await decoding.fork(rows.map(({ parent }) => parent), rows.map(({ token }) => token));
  }
}

interface OpenText {
  readonly tokens: readonly number[];
  readonly logProbability: number;
  /** The beam that it continues. */
  readonly parent: number;
}

/** The search behind one prompt. */
class Search {
  readonly #request: BeamRequest;
  #open: readonly OpenText[] = [{ tokens: [], logProbability: 0, parent: 0 }];
  #ended: BeamText[] = [];

  constructor(request: BeamRequest) {
    this.#request = request;
  }

  get open(): readonly OpenText[] {
    return this.#open;
  }

  get done(): boolean {
    const { beams } = this.#request;
    // Texts only become less likely.
    return this.#open.length === 0 || (this.#ended.length >= beams && this.#ended.at(-1)!.logProbability >= this.#open[0]!.logProbability);
  }

  get texts(): BeamText[] {
    const cut = this.#open.map(({ tokens, logProbability }) => ({ tokens, logProbability, ended: false }));
    return [...this.#ended, ...cut].slice(0, this.#request.count ?? 1);
  }

  /** @param logits [vocabulary] of each open text */
  extend(logits: readonly Float32Array[]): void {
    if (this.done) return;
    const { beams, done } = this.#request;
    // Half of twice as many may have ended.
    const candidates = this.#open.flatMap((text, parent) => likeliest(logits[parent]!, 2 * beams).map(({ token, logProbability }) => ({ text, parent, token, logProbability: text.logProbability + logProbability })));
    candidates.sort((left, right) => right.logProbability - left.logProbability || left.parent - right.parent || left.token - right.token);
    const open: OpenText[] = [];
    for (const { text, parent, token, logProbability } of candidates.slice(0, 2 * beams)) {
      const tokens = [...text.tokens, token];
      if (done(tokens)) this.#ended.push({ tokens, logProbability, ended: true });
      else if (open.length < beams) open.push({ tokens, logProbability, parent });
    }
    this.#ended = this.#ended.sort((left, right) => right.logProbability - left.logProbability).slice(0, beams);
    this.#open = open;
  }
}

/** The likeliest tokens with ln softmax, in double precision. */
function likeliest(logits: Float32Array, count: number): { readonly token: number; readonly logProbability: number }[] {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const normalizer = largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
  // The best so far, in order; of equals the earlier. A vocabulary has tens of thousands of tokens, and each beam looks at all of them.
  const best: number[] = [];
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token]!;
    if (best.length === count && logit <= logits[best.at(-1)!]!) continue;
    let place = best.length;
    while (place > 0 && logits[best[place - 1]!]! < logit) place--;
    best.splice(place, 0, token);
    if (best.length > count) best.pop();
  }
  return best.map((token) => ({ token, logProbability: logits[token]! - normalizer }));
}
