import { createRandom, float32Tensor, type DenseWeight, type FactorizedWeight } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { evaluateGraph } from '@pare/operators';
import { describe, expect, it } from 'vitest';
import { denseFloat32 } from '../dequantize.js';
import { planCorrection } from '../form-problem.js';
import { lowerLinear, lowerWeight } from '../lower.js';
import { quantizeMatrix } from '../quantize.js';
import { deserializeForm, serializeForm } from '../serialize.js';
import { pruneGroups } from '../sparse/masks.js';
import { denseWeight, plansCodes, quantizedPart, sparseWeight } from '../sparse/sparse-weight.js';
import { storedBits, writtenBits } from '../stored-bits.js';
import { structureProblem } from '../structure-problem.js';
import { breakEvenRank, factorizedWeight, matrixParts, plannedShapes } from './factorized-weight.js';

const [rows, rank, columns] = [9, 6, 16];
const random = createRandom(5);
const values = (length: number): Float32Array => Float32Array.from({ length }, () => random() + random() - 1);
const [a, b] = [values(rows * rank), values(rank * columns)];
const left = denseWeight(a, [rows, rank], 'float32');
const right = denseWeight(b, [rank, columns], 'float32');
const codes = (data: Float32Array, shape: readonly [number, number]) => quantizeMatrix(data, shape, { bits: 4, symmetric: true, groupSize: -1 }, 'float16');
const twoOfFour = { kind: 'grouped', zeros: 2, group: 4 } as const;
const mask = pruneGroups([rank, columns], (row, into) => into.set(b.subarray(row * columns, (row + 1) * columns).map(Math.abs)), twoOfFour);

const forms: readonly (readonly [string, FactorizedWeight])[] = [
  ['float32', factorizedWeight(left, right)],
  ['bfloat16 and float16', factorizedWeight(denseWeight(a, [rows, rank], 'bfloat16'), denseWeight(b, [rank, columns], 'float16'))],
  ['codes', factorizedWeight(codes(a, [rows, rank]), codes(b, [rank, columns]))],
  ['a dense and a sparse factor', factorizedWeight(left, sparseWeight(right, twoOfFour, mask))],
  ['rank 1', factorizedWeight(denseWeight(a.slice(0, rows), [rows, 1], 'float32'), denseWeight(b.slice(0, columns), [1, columns], 'float32'))],
];

describe('the factorized form', () => {
  it.each(forms)('stands for the product of its factors: %s', (_, form) => {
    expect(structureProblem(form)).toBeUndefined();
    const [x, y] = [denseFloat32(form.left), denseFloat32(form.right)];
    const inner = form.left.shape[1]!;
    const dense = denseFloat32(form);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let k = 0; k < inner; k++) sum += x[row * inner + k]! * y[k * columns + column]!;
        expect(Math.abs(dense[row * columns + column]! - sum)).toBeLessThan(1e-6);
      }
    }
  });

  it.each(forms)('comes back from storage with the same bits: %s', (_, form) => {
    const { tensors, metadata } = serializeForm(form);
    expect(deserializeForm(tensors, metadata)).toEqual(form);
  });

  it.each(forms)('stores what its factors store: %s', (_, form) => {
    expect(storedBits(form)).toBe(storedBits(form.left) + storedBits(form.right));
    expect(writtenBits(form)).toBe(writtenBits(form.left) + writtenBits(form.right));
  });

  it.each(forms)('is evaluated as a matrix, or as two products: %s', (_, form) => {
    const inputs = float32Tensor([2, 3, columns], values(6 * columns));
    const dense = denseFloat32(form);
    const builder = new GraphBuilder('product');
    const x = builder.input('x', 'float32', [2, 3, columns]);
    builder.output(lowerLinear(builder, x, form, 'w'), 'y');
    builder.output(lowerWeight(builder, form, 'v'), 'dense');
    const graph = builder.build();
    const { y, dense: whole } = evaluateGraph(graph, { x: inputs });
    for (const [index, value] of (whole!.data as Float32Array).entries()) expect(Math.abs(value - dense[index]!)).toBeLessThan(1e-5);
    expect(y!.shape).toEqual([2, 3, rows]);
    for (const [index, value] of (y!.data as Float32Array).entries()) {
      const [token, row] = [Math.floor(index / rows), index % rows];
      let sum = 0;
      for (let column = 0; column < columns; column++) sum += (inputs.data as Float32Array)[token * columns + column]! * dense[row * columns + column]!;
      expect(Math.abs(value - sum)).toBeLessThan(1e-5);
    }
    // Two products with the inputs, one of the factors; never a matrix [out, in] on the way of the inputs.
    expect(graph.nodes.filter(({ operator }) => operator === 'MatMul')).toHaveLength(3);
  });

  it('lowers a product with a single matrix as one', () => {
    const builder = new GraphBuilder('product');
    builder.output(lowerLinear(builder, builder.input('x', 'float32', [4, columns]), right, 'w'), 'y');
    expect(builder.build().nodes.filter(({ operator }) => operator === 'MatMul')).toHaveLength(1);
  });

  it('says what is wrong with it', () => {
    const good = forms[0]![1];
    const dense = (shape: readonly [number, number]): DenseWeight => ({ form: 'dense', shape, tensor: float32Tensor(shape, new Float32Array(shape[0] * shape[1])) });
    expect(structureProblem({ ...good, left: dense([8, rank]) })).toBe('its left factor has shape [8, 6] for 9 outputs');
    expect(structureProblem({ ...good, right: dense([rank, 15]) })).toBe('its right factor has shape [6, 15] for 16 inputs');
    expect(structureProblem({ ...good, right: dense([5, columns]) })).toBe('its factors [9, 6] and [5, 16] have no product');
    expect(structureProblem({ ...good, left: dense([rows, 0]), right: dense([0, columns]) })).toBe('its rank is 0');
    expect(structureProblem({ ...good, left: denseWeight(a.map(() => NaN), [rows, rank], 'float32') })).toBe('of its left factor: element 0 is NaN');
    expect(structureProblem({ ...good, left: { form: 'shared', shape: [rows, rank], with: 'x' } as never })).toBe('its left factor is shared');
    expect(() => factorizedWeight(left, dense([5, columns]))).toThrow(RangeError);
  });

  it('refuses storage that lacks a part', () => {
    const { tensors, metadata } = serializeForm(forms[0]![1]);
    const { 'left.weight': _, ...rest } = tensors;
    expect(() => deserializeForm(rest, metadata)).toThrow(/"weight" is missing/);
    expect(() => deserializeForm(tensors, { ...metadata, 'right.form': 'factorized' })).toThrow(/factor of form "factorized"/);
    expect(() => deserializeForm(tensors, { ...metadata, shape: '9' })).toThrow(/shape \[9\] of a factorized matrix/);
  });

  it('has parts, in the order in which inputs pass through them', () => {
    const form = forms[2]![1];
    expect(matrixParts('m', form)).toEqual([{ name: 'm.right', form: form.right }, { name: 'm.left', form: form.left }]);
    expect(matrixParts('m', left)).toEqual([{ name: 'm', form: left }]);
    expect(quantizedPart(form)).toBeUndefined();
    expect(plansCodes({ produces: 'factorized' })).toBe(false);
    expect(plansCodes({ produces: 'factorized', bits: 4 })).toBe(true);
    expect(plannedShapes([9, 16], { produces: 'factorized', rank: 6 })).toEqual([[9, 6], [6, 16]]);
    expect(plannedShapes([9, 16], { produces: 'factorized' })).toBeUndefined();
    expect(plannedShapes([9, 16], { produces: 'quantized' })).toEqual([[9, 16]]);
    // Square: half the side. 4096×11008: 2985.
    expect(breakEvenRank([8, 8])).toBe(4);
    expect(Math.floor(breakEvenRank([4096, 11008]))).toBe(2985);
  });

  it('corrects plans that said otherwise, and no others', () => {
    const form = forms[0]![1];
    const plan = { module: 'm', produces: 'factorized', storedBits: storedBits(form), rank, flops: 0, workingBytes: 0 } as const;
    expect(planCorrection(form, plan)).toEqual({});
    expect(planCorrection(form, { ...plan, storedBits: 1, rank: undefined })).toEqual({ became: { produces: 'factorized', storedBits: storedBits(form), writtenBits: writtenBits(form), rank } });
    expect(planCorrection(left, plan)).toEqual({ became: { produces: 'dense', storedBits: 32 * rows * rank, writtenBits: 32 * rows * rank, rank: undefined } });
  });
});
