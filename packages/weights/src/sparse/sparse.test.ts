import { createRandom, float32Tensor, hostTensor, type QuantizedWeight, type SparseWeight, type SparsityPattern } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { evaluateGraph } from '@pare/operators';
import { describe, expect, it } from 'vitest';
import { denseFloat32 } from '../dequantize.js';
import { lowerWeight } from '../lower.js';
import { quantizeMatrix } from '../quantize.js';
import { deserializeForm, serializeForm } from '../serialize.js';
import { storedBits, writtenBits } from '../stored-bits.js';
import { structureProblem } from '../structure-problem.js';
import { countPruned, pruneGroups, pruneMatrix, pruneRows } from './masks.js';
import { parseSparsityPattern, sparsityPatternText } from './pattern.js';
import { pruneSmallest, selectNth } from './select.js';
import { denseWeight, planUnderMask, quantizedPart, sparseWeight } from './sparse-weight.js';

const [rows, columns] = [7, 48];
const shape = [rows, columns] as const;
const random = createRandom(3);
const weight = Float32Array.from({ length: rows * columns }, () => random() + random() - 1);
const scores = (row: number, into: Float32Array): void => into.set(weight.subarray(row * columns, (row + 1) * columns).map(Math.abs));
const twoOfFour = { kind: 'grouped', zeros: 2, group: 4 } as const;
const unstructured: SparsityPattern = { kind: 'unstructured' };

describe('pruneSmallest', () => {
  const naive = (values: Float32Array, count: number): Uint8Array => {
    const order = [...values.keys()].sort((a, b) => values[a]! - values[b]! || a - b);
    const mask = new Uint8Array(values.length).fill(1);
    for (const index of order.slice(0, count)) mask[index] = 0;
    return mask;
  };

  it.each([1, 2, 3, 10, 257, 1000])('prunes exactly the smallest of %i, equal ones by place', (length) => {
    for (const levels of [1, 2, 5, 1e6]) {
      const values = Float32Array.from({ length }, () => Math.floor(random() * levels));
      for (const count of [0, 1, length >> 1, length - 1, length]) {
        const mask = new Uint8Array(length);
        pruneSmallest(values, count, mask);
        expect(mask).toEqual(naive(values, count));
      }
    }
  });

  it('finds any place of orders that are hard on pivots', () => {
    const length = 500;
    const orders = [(i: number) => i, (i: number) => -i, (i: number) => i % 2, (i: number) => Math.min(i, length - i), (i: number) => (i * 7919) % length];
    for (const order of orders) {
      const values = Float32Array.from({ length }, (_, index) => order(index));
      const sorted = values.slice().sort();
      for (const n of [0, 1, 249, 250, 498, 499]) expect(selectNth(values.slice(), n)).toBe(sorted[n]);
    }
  });
});

describe('masks', () => {
  it('prune an exact count of rows and matrices, N of every M, nested and idempotent', () => {
    const byRow = pruneRows(shape, scores, 20);
    for (let row = 0; row < rows; row++) expect(countPruned(byRow.subarray(row * columns, (row + 1) * columns))).toBe(20);
    const less = pruneMatrix(shape, scores, 100);
    const more = pruneMatrix(shape, scores, 101);
    expect([countPruned(less), countPruned(more)]).toEqual([100, 101]);
    expect(less.every((kept, index) => kept === 1 || more[index] === 0)).toBe(true);
    const pruned = weight.map((value, index) => value * less[index]!);
    expect(pruneMatrix(shape, (row, into) => into.set(pruned.subarray(row * columns, (row + 1) * columns).map(Math.abs)), 100)).toEqual(less);
    const groups = pruneGroups(shape, scores, twoOfFour);
    for (let start = 0; start < groups.length; start += 4) expect(countPruned(groups.subarray(start, start + 4))).toBe(2);
  });

  it('err least of all masks of their size (all of 3 × 3)', () => {
    const small = weight.subarray(0, 9);
    const mask = pruneMatrix([3, 3], (row, into) => into.set(small.subarray(row * 3, row * 3 + 3).map(Math.abs)), 4);
    const error = (kept: (index: number) => boolean): number => small.reduce((sum, value, index) => sum + (kept(index) ? 0 : value ** 2), 0);
    let least = Infinity;
    for (let bits = 0; bits < 512; bits++) if ([...bits.toString(2)].filter((bit) => bit === '1').length === 5) least = Math.min(least, error((index) => ((bits >> index) & 1) === 1));
    expect(error((index) => mask[index] === 1)).toBe(least);
  });

  it('prune lower columns of equal scores first', () => {
    expect([...pruneGroups([1, 8], (_, into) => into.fill(1), { kind: 'grouped', zeros: 3, group: 8 })]).toEqual([0, 0, 0, 1, 1, 1, 1, 1]);
  });

  it('order unstructured ≤ 4:8 ≤ 2:4 in what they remove', () => {
    const removed = (mask: Uint8Array): number => weight.reduce((sum, value, index) => sum + (mask[index] === 0 ? value ** 2 : 0), 0);
    const fourOfEight = removed(pruneGroups(shape, scores, { kind: 'grouped', zeros: 4, group: 8 }));
    expect(removed(pruneMatrix(shape, scores, weight.length / 2))).toBeLessThanOrEqual(fourOfEight);
    expect(fourOfEight).toBeLessThanOrEqual(removed(pruneGroups(shape, scores, twoOfFour)));
  });
});

describe('patterns', () => {
  it.each(['unstructured', '2:4', '4:8', '1:16'])('read and print %s', (text) => {
    expect(sparsityPatternText(parseSparsityPattern(text)!)).toBe(text);
  });

  it.each(['4:4', '0:4', '5:4', '2:4:8', 'dense', '', '2:', '-1:4', '1.5:4'])('refuse "%s"', (text) => {
    expect(parseSparsityPattern(text)).toBeUndefined();
  });
});

const mask = pruneGroups(shape, scores, twoOfFour);
const ragged = pruneMatrix(shape, scores, 151);
const quantized = (bits: number, symmetric: boolean, groupSize: number): QuantizedWeight => quantizeMatrix(weight, shape, { bits, symmetric, groupSize }, 'float16');
const forms: readonly (readonly [string, SparseWeight])[] = [
  ['float32', sparseWeight(denseWeight(weight, shape, 'float32'), twoOfFour, mask)],
  ['bfloat16, unstructured', sparseWeight(denseWeight(weight, shape, 'bfloat16'), unstructured, ragged)],
  ['float16, all pruned', sparseWeight(denseWeight(weight, shape, 'float16'), unstructured, new Uint8Array(weight.length))],
  ['four bits', sparseWeight(quantized(4, true, 16), twoOfFour, mask)],
  ['three bits with zero points', sparseWeight(quantized(3, false, 20), unstructured, ragged)],
  ['eight bits, group index', sparseWeight({ ...quantized(8, false, 16), groupIndex: Int32Array.from({ length: columns }, (_, column) => (column * 7) % 3) }, twoOfFour, mask)],
];

describe('the sparse form', () => {
  it.each(forms)('is zero where pruned and untouched elsewhere: %s', (_, form) => {
    expect(structureProblem(form)).toBeUndefined();
    const dense = denseFloat32(form);
    expect(dense.every((value, index) => form.mask[index] === 1 || Object.is(value, 0) || value === 0)).toBe(true);
    expect(dense.some((value) => value !== 0)).toBe(countPruned(form.mask) < weight.length);
  });

  it('keeps the bits of what it keeps', () => {
    const dense = denseWeight(weight, shape, 'bfloat16');
    const { values } = sparseWeight(dense, unstructured, ragged);
    if (values.form === 'dense') expect([...values.tensor.data]).toEqual([...dense.tensor.data].map((bits, index) => (ragged[index] === 1 ? bits : 0)));
    const codes = quantized(4, false, 16);
    const kept = quantizedPart(sparseWeight(codes, unstructured, ragged))!;
    expect(kept.codes.every((code, index) => ragged[index] === 0 || code === codes.codes[index])).toBe(true);
    // A second mask replaces the first.
    const again = sparseWeight(sparseWeight(dense, twoOfFour, mask), unstructured, ragged);
    expect(again.pattern).toBe(unstructured);
    expect(denseFloat32(again).every((value, index) => value === 0 || (mask[index] === 1 && ragged[index] === 1))).toBe(true);
  });

  it.each(forms)('comes back from storage with the same bits: %s', (_, form) => {
    const { tensors, metadata } = serializeForm(form);
    expect(deserializeForm(tensors, metadata)).toEqual(form);
  });

  it.each(forms)('is evaluated as the matrix it stands for: %s', (_, form) => {
    const builder = new GraphBuilder('weight');
    builder.output(lowerWeight(builder, form, 'w'), 'dense');
    expect(evaluateGraph(builder.build(), {})['dense']!.data).toEqual(denseFloat32(form));
  });

  it('stores kept values and a bit of mask for each weight, or a place for each kept value', () => {
    const bits = (form: SparseWeight): [stored: number, written: number] => [storedBits(form), writtenBits(form)];
    const weights = rows * columns;
    expect(bits(sparseWeight(denseWeight(weight, shape, 'bfloat16'), unstructured, ragged))).toEqual([weights + (weights - 151) * 16, weights * 16]);
    // 2:4 of 16-bit values: nine bits a weight; of four-bit codes: three, and the scales.
    expect(bits(sparseWeight(denseWeight(weight, shape, 'bfloat16'), twoOfFour, mask))).toEqual([weights * 9, weights * 16]);
    expect(bits(sparseWeight(quantized(4, true, 16), twoOfFour, mask))).toEqual([weights * 3 + rows * 3 * 16, weights * 4 + rows * 3 * 16]);
    // One per cent of zeros is not worth a mask.
    expect(bits(sparseWeight(denseWeight(weight, shape, 'float16'), unstructured, pruneMatrix(shape, scores, 3)))).toEqual([weights * 16, weights * 16]);
  });

  it('stores about that much in the journal', () => {
    for (const [, form] of forms) {
      const stored = Object.values(serializeForm(form).tensors).reduce((sum, { data }) => sum + data.byteLength, 0);
      // Masks of whole words for every row; zero points of a byte each; places of 2:4 take as much as its mask.
      const padding = rows * 4 + 4 + rows * 3 + columns * 4;
      expect(Math.abs(stored - storedBits(form) / 8)).toBeLessThan(padding);
    }
  });

  it('says what is wrong with it', () => {
    const good = forms[0]![1];
    const dense = (data: Float32Array): SparseWeight['values'] => ({ form: 'dense', shape, tensor: float32Tensor(shape, data) });
    expect(structureProblem({ ...good, values: dense(weight) })).toMatch(/element \d+ is pruned and not zero/);
    expect(structureProblem({ ...good, mask: new Uint8Array(5) })).toBe(`it has 5 mask entries instead of ${String(rows * columns)}`);
    expect(structureProblem({ ...good, mask: good.mask.map((entry) => entry * 2) })).toMatch(/mask entry \d+ is 2/);
    expect(structureProblem({ ...good, pattern: { kind: 'grouped', zeros: 1, group: 4 } })).toBe('the group at element 0 keeps 2 of 4, not 3');
    expect(structureProblem({ ...good, pattern: { kind: 'grouped', zeros: 2, group: 5 } })).toMatch(/do not divide its 48 inputs/);
    expect(structureProblem({ ...good, values: { form: 'dense', shape: [1, 4], tensor: float32Tensor([1, 4], new Float32Array(4)) } })).toMatch(/values have shape \[1, 4\]/);
    const codes = sparseWeight(quantized(4, true, 16), twoOfFour, mask);
    expect(structureProblem({ ...codes, values: quantized(4, true, 16) })).toMatch(/pruned and not zero/);
    const half = sparseWeight(denseWeight(weight, shape, 'float16'), twoOfFour, mask);
    expect(structureProblem({ ...half, values: denseWeight(weight, shape, 'float16') })).toMatch(/pruned and not zero/);
    // A zero has a sign in any type.
    const negative = hostTensor('float16', shape, new Uint16Array(rows * columns).fill(0x8000));
    expect(structureProblem({ ...half, values: { form: 'dense', shape, tensor: negative } })).toBeUndefined();
  });

  it('refuses storage that lacks a part', () => {
    const { tensors, metadata } = serializeForm(forms[3]![1]);
    const { mask: _, ...rest } = tensors;
    expect(() => deserializeForm(rest, metadata)).toThrow(/"mask" is missing/);
    expect(() => deserializeForm(tensors, { ...metadata, pattern: 'dots' })).toThrow(/pattern "dots"/);
    expect(() => deserializeForm(tensors, { ...metadata, 'values.form': 'shared' })).toThrow(/values of form "shared"/);
  });
});

describe('planUnderMask', () => {
  it('promises what quantizing a sparse matrix stores', () => {
    const plan = { module: 'm', produces: 'quantized', storedBits: storedBits(quantized(4, true, 16)), bits: 4, flops: 0, workingBytes: 0 } as const;
    const before = { module: 'm', produces: 'sparse', storedBits: 0, sparsity: { pattern: twoOfFour, pruned: countPruned(mask) }, flops: 0, workingBytes: 0 } as const;
    const form = sparseWeight(quantized(4, true, 16), twoOfFour, mask);
    expect(planUnderMask(plan, shape, before)).toMatchObject({ produces: 'sparse', bits: 4, storedBits: storedBits(form), writtenBits: writtenBits(form) });
    expect(planUnderMask(plan, shape, undefined)).toBe(plan);
  });
});
