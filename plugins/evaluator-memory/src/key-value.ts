import { dtypeBits, type DecoderDescription, type DType } from '@pare/core';

/**
 * Bytes that one more token of one sequence takes in the key-value cache:
 *
 *     Σ over blocks of 2 · kvHeads · headSize · bytes of the type
 *
 * Every block keeps every position; a runtime that drops what a sliding window no longer sees needs less for long texts.
 */
export function keyValueBytesPerToken({ blocks }: DecoderDescription, type: DType): number {
  return blocks.reduce((sum, { attention: { kvHeads, headSize } }) => sum + 2 * kvHeads * headSize, 0) * (dtypeBits(type) / 8);
}
