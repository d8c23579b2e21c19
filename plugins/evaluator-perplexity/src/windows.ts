/** A window to run, and how many of its last predictions count. */
export interface ScoredWindow {
  /** Token ids, the beginning-of-sequence token first where one is asked for. */
  readonly tokens: Int32Array;
  /** Tokens at the end of the window whose likelihood counts; those before are context, or were counted in an earlier window. */
  readonly scored: number;
}

export interface WindowRule {
  /** Tokens of a window, the beginning-of-sequence token included. */
  readonly length: number;
  /** Text tokens between the starts of two windows; as many as a window holds when absent, so that none overlap. */
  readonly stride?: number | undefined;
  /** Put before the text of every window. */
  readonly bos?: number | undefined;
  /** Windows to cut; all that the text fills when absent. */
  readonly samples?: number | undefined;
  /** Also cut a last, shorter window from what is left. */
  readonly rest?: boolean | undefined;
}

/** Text tokens that `samples` windows span. */
export function spannedTokens({ length, stride, bos, samples = 1 }: WindowRule): number {
  const held = length - (bos === undefined ? 0 : 1);
  return (samples - 1) * (stride ?? held) + held;
}

/**
 * Cuts a text into windows. A token is scored in the first window where it has a token before it, and only there: with a stride shorter than the window every
 * token after the first window is predicted from at least length − stride tokens (the strided perplexity of the transformers documentation).
 */
export function cutWindows(ids: Int32Array, rule: WindowRule): ScoredWindow[] {
  const { length, bos, samples = Infinity, rest = false } = rule;
  const held = length - (bos === undefined ? 0 : 1);
  const stride = rule.stride ?? held;
  const windows: ScoredWindow[] = [];
  let scoredUpTo = 0;
  for (let start = 0; windows.length < samples && scoredUpTo < ids.length; start += stride) {
    const end = Math.min(start + held, ids.length);
    // The first token of a text has nothing before it to be predicted from, unless a beginning-of-sequence token stands there.
    const firstScored = Math.max(scoredUpTo, start + (bos === undefined ? 1 : 0));
    if ((end - start < held && !rest) || firstScored >= end) break;
    const text = ids.subarray(start, end);
    windows.push({ tokens: bos === undefined ? text.slice() : Int32Array.of(bos, ...text), scored: end - firstScored });
    scoredUpTo = end;
  }
  return windows;
}
