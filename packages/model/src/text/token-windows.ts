import { pareError, type TextSource, type Tokenizer } from '@pare/core';
import type { PrefixTokenizer } from './open-tokenizer.js';

export interface WindowOptions {
  /** Number of windows; all that the text fills when absent. */
  readonly samples?: number | undefined;
  /** Tokens of a window. */
  readonly sequenceLength: number;
}

/**
 * The first windows of a text: it is tokenised whole, without special tokens, and cut into runs of `sequenceLength` that do not overlap; a
 * shorter rest is left out. Tokenising stops once there are enough.
 *
 * @throws PARE_CALIBRATION_TOO_SHORT when the text has fewer tokens than asked for
 */
export async function tokenWindows(tokenizer: Tokenizer, source: TextSource, { samples, sequenceLength }: WindowOptions): Promise<Int32Array[]> {
  const text = await source.text();
  const needed = (samples ?? 1) * sequenceLength;
  const ids = samples !== undefined && canStopEarly(tokenizer) ? tokenizer.encodePrefix(text, needed) : tokenizer.encode(text);
  if (ids.length < needed) {
    throw pareError('PARE_CALIBRATION_TOO_SHORT', { file: source.name, found: ids.length, needed, samples: samples ?? 1, length: sequenceLength });
  }
  const count = samples ?? Math.floor(ids.length / sequenceLength);
  return Array.from({ length: count }, (_, window) => ids.slice(window * sequenceLength, (window + 1) * sequenceLength));
}

function canStopEarly(tokenizer: Tokenizer): tokenizer is PrefixTokenizer {
  return 'encodePrefix' in tokenizer;
}
