import { referenceBackend } from '@pare/backend-reference';
import { createRandom, float32Tensor, type Backend, type HostTensor, type SparseWeight } from '@pare/core';
import { runTechnique, type LoneModule, type LoneResult } from '@pare/testkit';
import { countPruned, denseFloat32, pruneRows, quantizeMatrix, quantizedPart } from '@pare/weights';
import { describe, expect, it } from 'vitest';
import { wanda, wandaOptions, type WandaOptions } from './index.js';

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
const makeBackend = (): Promise<Backend> => Promise.resolve(referenceBackend.create({}, { log }));

function randomMatrix(rows: number, columns: number, seed: number): HostTensor & { readonly data: Float32Array } {
  const random = createRandom(seed);
  return float32Tensor([rows, columns], Float32Array.from({ length: rows * columns }, () => random() + random() - 1));
}

async function prune(module: LoneModule, options: Partial<WandaOptions> = {}): Promise<LoneResult & { readonly form: SparseWeight }> {
  await using backend = await makeBackend();
  const results = await runTechnique(wanda, { options: wandaOptions.parse(options), modules: { layer: module }, backend });
  return results.get('layer')! as LoneResult & { readonly form: SparseWeight };
}

const [rows, columns] = [24, 64];
const weight = randomMatrix(rows, columns, 1);
const inputs = randomMatrix(100, columns, 2);
const scaled = (tensor: HostTensor & { readonly data: Float32Array }, factor: (column: number) => number): HostTensor & { readonly data: Float32Array } =>
  float32Tensor(tensor.shape, tensor.data.map((value, index) => value * factor(index % columns)));

describe('wanda', () => {
  it('prunes floor(in · sparsity) inputs of every output and leaves the others as they were', async () => {
    for (const sparsity of [0.5, 0.3, 0.71]) {
      const { form } = await prune({ weight, inputs }, { sparsity });
      for (let row = 0; row < rows; row++) expect(countPruned(form.mask.subarray(row * columns, (row + 1) * columns))).toBe(Math.floor(columns * sparsity));
      expect(denseFloat32(form)).toEqual(weight.data.map((value, index) => (form.mask[index] === 1 ? value : 0)));
    }
  });

  it('is magnitude pruning of every output when all inputs have one norm', async () => {
    const identity = float32Tensor([columns, columns], Float32Array.from({ length: columns ** 2 }, (_, index) => (index % (columns + 1) === 0 ? 3 : 0)));
    const { form } = await prune({ weight, inputs: identity });
    expect(form.mask).toEqual(pruneRows([rows, columns], (row, into) => into.set(weight.data.subarray(row * columns, (row + 1) * columns).map(Math.abs)), columns / 2));
  });

  it('does not notice when an input grows as its weights shrink', async () => {
    // Powers of two leave no rounding behind.
    const factor = (column: number): number => 2 ** ((column % 7) - 3);
    const { form } = await prune({ weight, inputs });
    const other = await prune({ weight: scaled(weight, (column) => 1 / factor(column)), inputs: scaled(inputs, factor) });
    expect(other.form.mask).toEqual(form.mask);
  });

  it('ranks like optimal brain damage, ½·h·w² with the layer\'s own h = (2/N)·Σx²', async () => {
    const { form, report } = await prune({ weight, inputs });
    const squares = Float64Array.from({ length: columns }, (_, column) => inputs.data.reduce((sum, value, index) => sum + (index % columns === column ? value ** 2 : 0), 0));
    const saliency = (row: number, into: Float32Array): void => into.set(into.map((_, column) => (squares[column]! / 100) * weight.data[row * columns + column]! ** 2));
    expect(form.mask).toEqual(pruneRows([rows, columns], saliency, columns / 2));
    const loss = weight.data.reduce((sum, value, index) => sum + (form.mask[index] === 0 ? (value ** 2 * squares[index % columns]!) / 100 : 0), 0);
    expect(report.loss! / loss).toBeCloseTo(1, 5);
    expect(report.details).toEqual({ tokens: 100 });
  });

  it('prunes dead inputs first and counts them', async () => {
    const { form, report } = await prune({ weight, inputs: scaled(inputs, (column) => (column < 5 ? 0 : 1)) }, { sparsity: 0.1 });
    for (let row = 0; row < rows; row++) expect(countPruned(form.mask.subarray(row * columns, row * columns + 5))).toBe(5);
    expect(report.details).toEqual({ tokens: 100, deadInputs: 5 });
  });

  it('keeps N of every M', async () => {
    const { form } = await prune({ weight, inputs }, { pattern: '3:8' });
    expect(form.pattern).toEqual({ kind: 'grouped', zeros: 3, group: 8 });
    for (let start = 0; start < form.mask.length; start += 8) expect(countPruned(form.mask.subarray(start, start + 8))).toBe(3);
  });

  it('finds the share of every output\'s metrics that gives the sparsity asked for', async () => {
    const large = randomMatrix(40, 250, 3);
    const { form } = await prune({ weight: large, inputs: randomMatrix(60, 250, 4) }, { variant: true, sparsity: 0.5 });
    expect(Math.abs(countPruned(form.mask) / form.mask.length - 0.5)).toBeLessThanOrEqual(0.001);
    const counts = Array.from({ length: 40 }, (_, row) => countPruned(form.mask.subarray(row * 250, (row + 1) * 250)));
    expect(new Set(counts).size).toBeGreaterThan(1);
  });

  it('keeps the codes of a matrix that a stage before quantized', async () => {
    const form = quantizeMatrix(weight.data, [rows, columns], { bits: 4, symmetric: false, groupSize: 32 }, 'float16');
    const module = { weight: float32Tensor([rows, columns], denseFloat32(form)), inputs, form };
    const values = quantizedPart((await prune(module)).form)!;
    const { mask } = (await prune(module)).form;
    expect(values.codes.every((code, index) => mask[index] === 0 || code === form.codes[index])).toBe(true);
    expect(denseFloat32(values).every((value, index) => mask[index] === 1 || value === 0)).toBe(true);
  });

  it('prunes by magnitude where too few tokens were seen, and says so', async () => {
    const { report } = await prune({ weight, inputs: randomMatrix(20, columns, 5) });
    expect(report.fallback).toBe('only 20 calibration tokens reached it, minimumTokens is 32; pruned by magnitude');
    expect((await prune({ weight })).report.fallback).toBe('no calibration token reached it; pruned by magnitude');
  });

  it('refuses activations that overflow, naming the module', async () => {
    await expect(prune({ weight, inputs: scaled(inputs, (column) => (column === 9 ? 3e38 : 1)) })).rejects.toMatchObject({
      code: 'PARE_STATISTIC_NOT_FINITE',
      place: { module: 'layer' },
      data: { column: 9 },
    });
  });
});
