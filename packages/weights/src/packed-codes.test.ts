import { createRandom, type QuantizedWeight } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { packRows } from './pack-rows.js';
import { codeRows, packedCodes, packedWeight } from './packed-codes.js';
import { deserializeForm, serializeForm } from './serialize.js';
import { structureProblem } from './structure-problem.js';

function weightOf(bits: number, columns = 24): QuantizedWeight {
  const random = createRandom(bits);
  return {
    form: 'quantized',
    shape: [3, columns],
    scheme: { bits, symmetric: true, granularity: 'channel', groupSize: columns },
    codes: Uint8Array.from({ length: 3 * columns }, () => Math.floor(random() * 2 ** bits)),
    scales: Float32Array.of(0.5, 1, 2),
    scaleType: 'float32',
    zeros: undefined,
    groupIndex: undefined,
  };
}

describe('codes in words', () => {
  it.each([2, 3, 4, 5, 8])('of %i bits are unpacked when they are read', (bits) => {
    const { codes, ...parts } = weightOf(bits);
    const words = packRows(codes, parts.shape, bits);
    const weight = packedWeight(parts, words);
    expect(packedCodes(weight)).toBe(words);
    for (const one of [weight, { ...parts, codes }]) expect([0, 2, 1].map((row) => [...codeRows(one)(row)])).toEqual([0, 2, 1].map((row) => [...codes.subarray(24 * row, 24 * (row + 1))]));
    expect(weight.codes).toEqual(codes);
    expect(weight.codes).toBe(weight.codes);
    // A copy of the weight with other codes is a weight of its own.
    const other = { ...weight, codes: codes.map(() => 1) };
    expect(packedCodes(other)).toEqual(packRows(other.codes, parts.shape, bits));
  });

  it('are as many as the shape asks for', () => {
    const { codes, ...parts } = weightOf(4);
    const words = packRows(codes, parts.shape, 4);
    expect(structureProblem(packedWeight(parts, words))).toBeUndefined();
    expect(structureProblem(packedWeight(parts, words.slice(1)))).toBe('it has 8 words of codes instead of 9');
  });

  it('are stored again as they came', () => {
    const stored = serializeForm(weightOf(4));
    const read = deserializeForm(stored.tensors, stored.metadata);
    expect(serializeForm(read).tensors['codes']!.data).toBe(stored.tensors['codes']!.data);
    expect(read).toEqual(weightOf(4));
  });
});
