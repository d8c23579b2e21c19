import type { Tokenizer } from '@pare/core';
import type { Continuation } from './tree-rows.js';

export interface ContinuationOptions {
  /** Positions of the model: longer sequences lose tokens on the left. The last token is only predicted and takes no position. */
  readonly maxPositions: number;
  /** Puts the tokenizer's beginning-of-text token in front. */
  readonly addBos: boolean;
}

export interface EncodedContinuation extends Continuation {
  /** Tokens that were cut off on the left. */
  readonly dropped: number;
}

/**
 * Encodes texts that may follow a context, as lm-evaluation-harness does (`_encode_pair`): context and continuation together, of which the tokens after those of the context alone are
 * the continuation's. White space at the end of the context moves to the continuation, because tokenizers join it with the next word. An empty context becomes the
 * beginning-of-text token, or the end-of-text token.
 *
 * @returns for each continuation its tokens, or their number when they alone outnumber the positions, have none, or have nothing to follow
 */
export function encodeContinuations(tokenizer: Tokenizer, context: string, continuations: readonly string[], options: ContinuationOptions): (EncodedContinuation | number)[] {
  const stem = context.trimEnd();
  const space = context.slice(stem.length);
  const known = [...tokenizer.encode(stem)];
  const begin = options.addBos || known.length === 0 ? (tokenizer.bosToken ?? tokenizer.eosToken) : undefined;
  const front = begin === undefined ? [] : [begin];
  return continuations.map((continuation) => {
    const whole = [...front, ...tokenizer.encode(stem + space + continuation)];
    const scored = whole.length - front.length - known.length;
    const ids = Int32Array.from(whole.slice(-(options.maxPositions + 1)));
    const start = ids.length - scored;
    return scored < 1 || start < 1 ? Math.max(0, scored) : { ids, start, dropped: whole.length - ids.length };
  });
}
