import { hostTensor, type HostTensor } from '@pare/core';
import { type Batch } from '@pare/training';

/** A prompt and what is learnt behind it. */
export interface ResponseText {
  readonly prompt: Int32Array;
  /** At least one token. */
  readonly response: Int32Array;
}

/** Texts that are computed together. */
export interface ResponseRows<T extends ResponseText> {
  readonly texts: readonly T[];
  /** int64 [texts, length], padded on the right, where no earlier position sees it. */
  readonly ids: HostTensor;
  readonly length: number;
}

/** Lengths are multiples of it, so that few graphs have to be compiled. */
const lengthStep = 16;

/**
 * Texts in portions of at most `microBatch` of similar length.
 * @param positions those of the model: a text may have one token more, since nothing is predicted from its last
 */
export function responseRows<T extends ResponseText>(texts: readonly T[], microBatch: number, positions: number): ResponseRows<T>[] {
  const tokens = ({ prompt, response }: ResponseText): number => prompt.length + response.length;
  const sorted = texts.toSorted((left, right) => tokens(left) - tokens(right));
  return Array.from({ length: Math.ceil(sorted.length / microBatch) }, (_, portion) => {
    const members = sorted.slice(portion * microBatch, (portion + 1) * microBatch);
    const length = Math.min(positions, lengthStep * Math.ceil(tokens(members.at(-1)!) / lengthStep));
    const ids = new BigInt64Array(members.length * length);
    for (const [row, { prompt, response }] of members.entries()) for (const [place, token] of [...prompt, ...response].slice(0, length).entries()) ids[row * length + place] = BigInt(token);
    return { texts: members, ids: hostTensor('int64', [members.length, length], ids), length };
  });
}

/** Place of the logits that predict a token of a response. */
export function predictingPosition({ prompt }: ResponseText, token: number): number {
  return prompt.length + token - 1;
}

/** How tokens are averaged: each response the same (1/N Σ 1/L Σ, as GKD, arXiv 2306.13649, defines it), or each token of the step. */
export type Average = 'responses' | 'tokens';

/** Batches of a step with the inputs of `crossEntropy` and `distillation`: responses alone are predicted. */
export function responseBatches(texts: readonly ResponseText[], { microBatch, average, positions }: { readonly microBatch: number; readonly average: Average; readonly positions: number }): Batch[] {
  const tokens = texts.reduce((sum, { response }) => sum + response.length, 0);
  return responseRows(texts, microBatch, positions).map(({ texts: members, ids, length }) => {
    const targets = new BigInt64Array(members.length * length);
    const weights = new Float32Array(members.length * length);
    for (const [row, text] of members.entries()) {
      for (const [token, id] of text.response.entries()) {
        const at = row * length + predictingPosition(text, token);
        targets[at] = BigInt(id);
        weights[at] = average === 'tokens' ? 1 / tokens : 1 / (texts.length * text.response.length);
      }
    }
    const shape = [members.length, length, 1];
    return { ids, inputs: { targets: hostTensor('int64', shape, targets), weights: hostTensor('float32', shape, weights) } };
  });
}
