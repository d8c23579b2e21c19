import { referenceBackend } from '@pare/backend-reference';
import { createRandom, float32Tensor, type Backend, type HostTensor, type SparseWeight } from '@pare/core';
import { outputError, runTechnique } from '@pare/testkit';
import { countPruned, denseFloat32 } from '@pare/weights';
import { describe, expect, it } from 'vitest';
import { magnitude, magnitudeOptions, type MagnitudeOptions } from './index.js';

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
const makeBackend = (): Promise<Backend> => Promise.resolve(referenceBackend.create({}, { log }));

function randomMatrix(rows: number, columns: number, seed: number): HostTensor & { readonly data: Float32Array } {
  const random = createRandom(seed);
  return float32Tensor([rows, columns], Float32Array.from({ length: rows * columns }, () => random() + random() - 1));
}

type Matrix = HostTensor & { readonly data: Float32Array };

async function prune(matrices: Readonly<Record<string, Matrix>>, options: Partial<MagnitudeOptions>): Promise<Record<string, SparseWeight>> {
  await using backend = await makeBackend();
  const modules = Object.fromEntries(Object.entries(matrices).map(([name, weight]) => [name, { weight }]));
  const results = await runTechnique(magnitude, { options: magnitudeOptions.parse(options), modules, backend });
  return Object.fromEntries([...results].map(([name, { form }]) => [name, form as SparseWeight]));
}

const a = randomMatrix(12, 40, 1);
const removed = ({ mask }: SparseWeight, { data }: Matrix): number => data.reduce((sum, value, index) => sum + (mask[index] === 0 ? value ** 2 : 0), 0);

describe('magnitude', () => {
  it('prunes round(sparsity · count) of every row, or of the layer', async () => {
    const byRow = (await prune({ a }, { ranking: 'row', sparsity: 0.31 }))['a']!;
    for (let row = 0; row < 12; row++) expect(countPruned(byRow.mask.subarray(row * 40, (row + 1) * 40))).toBe(12);
    expect(countPruned((await prune({ a }, { sparsity: 0.31 }))['a']!.mask)).toBe(149);
  });

  it('is the same for a scaled layer, and nested in a higher sparsity', async () => {
    const { mask } = (await prune({ a }, { sparsity: 0.4 }))['a']!;
    expect((await prune({ a: float32Tensor(a.shape, a.data.map((value) => value * 64)) }, { sparsity: 0.4 }))['a']!.mask).toEqual(mask);
    const more = (await prune({ a }, { sparsity: 0.6 }))['a']!.mask;
    expect(mask.every((kept, index) => kept === 1 || more[index] === 0)).toBe(true);
  });

  it('changes nothing when it runs again', async () => {
    for (const options of [{ sparsity: 0.4 }, { pattern: '2:4' }, { ranking: 'row' as const }, { ranking: 'global' as const }, { unit: 'column' as const, sparsity: 0.25 }]) {
      const once = (await prune({ a }, options))['a']!;
      expect((await prune({ a: float32Tensor(a.shape, denseFloat32(once)) }, options))['a']).toEqual(once);
    }
  });

  it('removes less the freer it is: unstructured ≤ 4:8 ≤ 2:4 ≤ columns', async () => {
    const removedBy = async (options: Partial<MagnitudeOptions>): Promise<number> => removed((await prune({ a }, options))['a']!, a);
    const errors = [await removedBy({}), await removedBy({ pattern: '4:8' }), await removedBy({ pattern: '2:4' }), await removedBy({ unit: 'column' })];
    expect(errors).toEqual(errors.slice().sort((x, y) => x - y));
    expect(outputError((await prune({ a }, {}))['a']!, { weight: a, inputs: float32Tensor([40, 40], Float32Array.from({ length: 1600 }, (_, index) => (index % 41 === 0 ? 1 : 0))) })).toBeCloseTo(errors[0]!, 4);
  });

  it('ranks over all modules like a sort of everything, ties by module and place', async () => {
    const quarters = (matrix: Matrix, scale: number): Matrix => float32Tensor(matrix.shape, matrix.data.map((value) => Math.round(value * 8) * scale));
    const matrices = { a: quarters(a, 1), b: quarters(randomMatrix(9, 16, 2), 0.5), c: quarters(randomMatrix(5, 30, 3), 2) };
    for (const sparsity of [0.1, 0.5, 0.77]) {
      const forms = await prune(matrices, { ranking: 'global', sparsity });
      const all = Object.entries(matrices).flatMap(([name, { data }], module) => [...data].map((value, index) => ({ name, module, index, magnitude: Math.abs(value) })));
      const pruned = new Set(
        all
          .sort((x, y) => x.magnitude - y.magnitude || x.module - y.module || x.index - y.index)
          .slice(0, Math.round(sparsity * all.length))
          .map(({ name, index }) => `${name} ${String(index)}`),
      );
      for (const [name, { mask }] of Object.entries(forms)) expect([...mask].map((kept, index) => kept === 0 === pruned.has(`${name} ${String(index)}`))).not.toContain(false);
      // Modules that were pruned before the run was stopped change nothing for the others.
      const half = { ...matrices, a: float32Tensor(a.shape, denseFloat32(forms['a']!)) };
      expect(await prune(half, { ranking: 'global', sparsity })).toEqual(forms);
    }
  });

  it('ranks outputs and inputs by the norm asked for', async () => {
    // Row 0 has the larger Σ|w|, row 1 the larger Σw².
    const weight = float32Tensor([2, 4], Float32Array.of(2, 2, 2, 2.5, 6, 0.5, 0.5, 0.5));
    expect([...(await prune({ weight }, { unit: 'row', norm: 'l1' }))['weight']!.mask]).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
    expect([...(await prune({ weight }, { unit: 'row', norm: 'l2' }))['weight']!.mask]).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    expect([...(await prune({ weight }, { unit: 'column' }))['weight']!.mask]).toEqual([1, 0, 0, 1, 1, 0, 0, 1]);
  });
});
