import type { ModuleInfo, TargetModule } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { checkSparsity, magnitudes, ownWeight, patternOf, planPruned, pruneOutputs, prunedEnergy, type SparsityOptions } from './index.js';

function target(shape: readonly [number, number], options: Partial<SparsityOptions> = {}, form: ModuleInfo['form'] = 'dense'): TargetModule<SparsityOptions> {
  const info = { name: 'layer', kind: 'linear', role: 'mlp.up', block: 0, expert: undefined, step: 0, shape, layout: 'out-in', dtype: 'bfloat16', bias: false, sharedWith: undefined, form } as const;
  return { info, options: { sparsity: 0.5, pattern: 'unstructured', ...options } };
}

const competing = (count: number, pruned: number) => ({ name: 'the inputs of an output', count, pruned });

describe('checkSparsity', () => {
  it('takes what leaves something and takes something', () => {
    expect(checkSparsity(target([4, 8]), competing(8, 4))).toBeUndefined();
    expect(checkSparsity(target([4, 8], { pattern: '2:4' }), competing(8, 4))).toBeUndefined();
    expect(checkSparsity(target([4, 8], { pattern: '1:4', sparsity: 0.25 }), competing(8, 2))).toBeUndefined();
  });

  it('refuses the rest, with what would fit', () => {
    expect(checkSparsity(target([4, 8]), competing(8, 0))).toMatch(/prunes none of the inputs of an output, of which there are 8/);
    expect(checkSparsity(target([4, 8]), competing(8, 8))).toMatch(/nothing would be left/);
    expect(checkSparsity(target([4, 6], { pattern: '2:4' }), competing(6, 3))).toMatch(/groups of 4, which do not divide its 6 inputs; groups that do: 2/);
    expect(checkSparsity(target([4, 8], { pattern: '2:4', sparsity: 0.7 }), competing(8, 4))).toMatch(/share of 0.5 and sparsity says 0.7/);
    expect(checkSparsity(target([4, 8], {}, 'quantized'), competing(8, 4))).toMatch(/prune the uncompressed model/);
  });
});

describe('masks', () => {
  const weight = Float32Array.of(1, -4, 3, -2, 0.5, 0.25, -8, 6);

  it('leave the largest of every output, or of every group', () => {
    expect(Array.from(pruneOutputs([2, 4], patternOf({ pattern: 'unstructured' }), magnitudes(weight, 4), 1))).toEqual([0, 1, 1, 1, 1, 0, 1, 1]);
    expect(Array.from(pruneOutputs([2, 4], patternOf({ pattern: '1:2' }), magnitudes(weight, 4), 0))).toEqual([0, 1, 1, 0, 1, 0, 1, 0]);
  });

  it('cost the squares of what they prune', () => {
    const mask = pruneOutputs([2, 4], patternOf({ pattern: '2:4' }), magnitudes(weight, 4), 0);
    expect(prunedEnergy(weight, mask)).toBe(1 + 4 + 0.25 + 0.0625);
  });
});

describe('planPruned', () => {
  it('counts kept weights and mask beside the zeros that are written', () => {
    const plan = planPruned(target([4, 8]), { pattern: { kind: 'unstructured' }, pruned: 16, flops: 0, bytesPerWeight: 4 });
    // 16 kept weights of 16 bits and a mask of 32 bits, against 32 weights of 16 bits.
    expect([plan.storedBits, plan.writtenBits, plan.produces]).toEqual([16 * 16 + 32, 32 * 16, 'sparse']);
  });
});

describe('ownWeight', () => {
  it('refuses weights that are another module\'s', async () => {
    const handle = { info: target([4, 8]).info, form: () => Promise.resolve({ form: 'shared', shape: [4, 8], with: 'embedding' } as const) };
    await expect(ownWeight(handle)).rejects.toThrow('layer shares the weights of embedding');
  });
});
