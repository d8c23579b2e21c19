import type { QuantizedWeight } from '@pare/core';
import { packRows, unpackRows, wordsPerRow } from './pack-rows.js';

/** The words that weights came in, by weight. */
const wordsOf = new WeakMap<QuantizedWeight, Int32Array>();

/** A weight whose codes come in words, as files hold them (`packRows`). They are unpacked when somebody asks for all of them: whoever only stores the weight again does not. */
export function packedWeight(parts: Omit<QuantizedWeight, 'codes'>, words: Int32Array): QuantizedWeight {
  let codes: Uint8Array | undefined;
  const weight: QuantizedWeight = {
    ...parts,
    get codes() {
      return (codes ??= unpackRows(words, parts.shape, parts.scheme.bits));
    },
  };
  wordsOf.set(weight, words);
  return weight;
}

/** The words that a weight's codes came in; undefined for others. Not to be written to. */
export function packedWords(weight: QuantizedWeight): Int32Array | undefined {
  return wordsOf.get(weight);
}

/** A weight's codes in words (`packRows`): those that it came in, or new ones. Not to be written to. */
export function packedCodes(weight: QuantizedWeight): Int32Array {
  return packedWords(weight) ?? packRows(weight.codes, weight.shape, weight.scheme.bits);
}

/** Reads the codes of a row [in], valid until the next row is read: for whoever looks at each once, without unpacking all. */
export function codeRows(weight: QuantizedWeight): (row: number) => Uint8Array {
  const { shape, scheme } = weight;
  const columns = shape[1];
  const words = wordsOf.get(weight);
  if (words === undefined) return (row) => weight.codes.subarray(row * columns, (row + 1) * columns);
  const width = wordsPerRow(columns, scheme.bits);
  const codes = new Uint8Array(columns);
  return (row) => unpackRows(words.subarray(row * width, (row + 1) * width), [1, columns], scheme.bits, codes);
}
