import { createRandom, int64Tensor, type TensorTrainWeight } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { evaluateGraph } from '@pare/operators';
import { describe, expect, it } from 'vitest';
import { denseFloat32, trainDecoder } from '../dequantize.js';
import { planCorrection } from '../form-problem.js';
import { lowerLookup, lowerWeight } from '../lower.js';
import { deserializeForm, serializeForm } from '../serialize.js';
import { denseWeight } from '../sparse/sparse-weight.js';
import { storedBits } from '../stored-bits.js';
import { structureProblem } from '../structure-problem.js';
import { coreShapes, largestRanks, tensorTrainWeight, trainNumbers, trainShape } from './tensor-train-weight.js';

const random = createRandom(7);
const values = (length: number): Float32Array => Float32Array.from({ length }, () => random() + random() - 1);

function trains(rows: number, columns: number, sizes: readonly number[], maxRank: number, dtype: 'float32' | 'float16' | 'bfloat16' = 'float32'): TensorTrainWeight {
  const shapes = coreShapes({ sizes, ranks: largestRanks(sizes, maxRank) });
  return tensorTrainWeight(
    [rows, columns],
    sizes,
    shapes.map((shape) => denseWeight(values(rows * shape[0] * shape[1] * shape[2]), [rows, ...shape], dtype).tensor),
  );
}

const forms: readonly (readonly [string, TensorTrainWeight])[] = [
  ['sizes that differ', trains(5, 24, [2, 3, 4], 3)],
  ['zeros behind the row', trains(4, 21, [2, 3, 4], 2)],
  ['rank 1', trains(3, 16, [2, 2, 2, 2], 1)],
  ['two cores in bfloat16', trains(6, 15, [3, 5], 3, 'bfloat16')],
  ['float16', trains(1, 8, [2, 2, 2], 2, 'float16')],
];

/** x[i_1, …, i_N] = G_1[:, i_1, :] · … · G_N[:, i_N, :], index by index. */
function entry(form: TensorTrainWeight, row: number, column: number): number {
  const shapes = coreShapes(trainShape(form));
  let rest = form.sizes.reduce((product, size) => product * size, 1);
  let vector = [1];
  for (const [index, [left, size, right]] of shapes.entries()) {
    rest /= size;
    const place = Math.floor(column / rest) % size;
    const core = denseFloat32({ form: 'dense', shape: form.cores[index]!.shape, tensor: form.cores[index]! });
    const at = (a: number, b: number): number => core[((row * left + a) * size + place) * right + b]!;
    vector = Array.from({ length: right }, (_, b) => vector.reduce((sum, value, a) => sum + value * at(a, b), 0));
  }
  return vector[0]!;
}

describe('the tensor-train form', () => {
  it.each(forms)('stands for the products of its cores: %s', (_, form) => {
    expect(structureProblem(form)).toBeUndefined();
    const dense = denseFloat32(form);
    const [rows, columns] = form.shape;
    for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) expect(dense[row * columns + column]).toBeCloseTo(entry(form, row, column), 6);
    const one = new Float32Array(columns);
    trainDecoder(form).decode(rows - 1, one);
    expect(one).toEqual(dense.subarray((rows - 1) * columns));
  });

  it.each(forms)('comes back from storage with the same bits: %s', (_, form) => {
    const { tensors, metadata } = serializeForm(form);
    expect(deserializeForm(tensors, metadata)).toEqual(form);
  });

  it.each(forms)('is looked up in a graph row by row, and as a whole: %s', (_, form) => {
    const builder = new GraphBuilder('trains');
    const ids = builder.input('ids', 'int64', ['batch', 2]);
    builder.output(lowerLookup(builder, ids, form, 'table'), 'rows');
    builder.output(lowerWeight(builder, form, 'whole'), 'matrix');
    const [rows, columns] = form.shape;
    const asked = [rows - 1, 0, 0, Math.floor(rows / 2)];
    const results = evaluateGraph(builder.build(), { ids: int64Tensor([2, 2], asked) });
    const dense = denseFloat32(form);
    expect(results['rows']!.shape).toEqual([2, 2, columns]);
    expect(results['matrix']!.shape).toEqual([rows, columns]);
    const near = (found: ArrayLike<number>, expected: Float32Array): void => {
      for (const [index, value] of expected.entries()) expect(found[index]).toBeCloseTo(value, 5);
    };
    near(results['matrix']!.data as Float32Array, dense);
    near(
      results['rows']!.data as Float32Array,
      Float32Array.from(asked.flatMap((row) => [...dense.subarray(row * columns, (row + 1) * columns)])),
    );
  });

  it('stores Σ r·I·r numbers a row', () => {
    const sizes = Array.from({ length: 10 }, () => 2);
    const numbers = [1, 2, 3, 4, 5, 8].map((maxRank) => trainNumbers({ sizes, ranks: largestRanks(sizes, maxRank) }));
    expect(numbers).toEqual([20, 72, 140, 232, 320, 680]);
    const form = trains(7, 768, sizes, 4, 'bfloat16');
    expect(storedBits(form)).toBe(7 * 232 * 16);
    const plan = { module: 'table', produces: 'tensor-train', storedBits: storedBits(form), flops: 0, workingBytes: 0 } as const;
    expect(planCorrection(form, plan)).toEqual({});
    expect(planCorrection(form, { ...plan, storedBits: 1 })).toEqual({ became: { produces: 'tensor-train', storedBits: storedBits(form), writtenBits: storedBits(form), rank: undefined } });
  });

  it('has no ranks beyond what is left on either side', () => {
    expect(largestRanks([2, 3, 4], 100)).toEqual([2, 4]);
    expect(largestRanks([2, 2, 2, 2, 2], 100)).toEqual([2, 4, 4, 2]);
  });

  it('is refused when its cores do not follow on each other', () => {
    const good = trains(5, 24, [2, 3, 4], 3);
    const problem = (change: Partial<TensorTrainWeight>): string | undefined => structureProblem({ ...good, ...change });
    expect(problem({ shape: [6, 24] })).toMatch(/core 1 has shape \[5, 1, 2, 2\]; \[6, 1, 2, r\] fits/);
    expect(problem({ shape: [5, 25] })).toMatch(/2×3×4 hold 24 numbers; a row has 25/);
    expect(problem({ cores: good.cores.slice(1) })).toMatch(/2 cores for 3 sizes/);
    expect(problem({ sizes: [24], cores: good.cores.slice(0, 1) })).toMatch(/two or more/);
    expect(problem({ cores: [good.cores[0]!, good.cores[2]!, good.cores[1]!] })).toMatch(/core 2/);
    const broken = good.cores[1]!.data.slice() as Float32Array;
    broken[3] = NaN;
    expect(problem({ cores: good.cores.map((core, index) => (index === 1 ? { ...core, data: broken } : core)) })).toMatch(/core 2: element 3 is NaN/);
    expect(() => tensorTrainWeight([5, 25], [2, 3, 4], good.cores)).toThrow(RangeError);
  });
});
