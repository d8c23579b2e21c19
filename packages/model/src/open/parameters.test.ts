import gpt2 from '@pare/architecture-gpt2';
import { float32Tensor, hostTensor, type DenseWeight, type ModuleInfo } from '@pare/core';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModel, overlayModel, parametersBeside, parametersOf, parameterValues, readParameter, storedParameter, type Parameter } from './index.js';

const fixture = join(import.meta.dirname, '../../../testkit/fixtures/architectures/gpt2');
const norm: Parameter = { name: 'norm.weight', module: undefined, shape: [2], dtype: 'bfloat16' };

describe('parameters', () => {
  it('are all tensors but shared ones, by block', async () => {
    await using model = await openModel(fixture, { architectures: [gpt2] });
    expect(parametersOf(model).map(({ name }) => name)).not.toContain('lm_head.weight');
    const outside = parametersBeside(model, undefined, new Set(['transformer.wte'])).map(({ name }) => name);
    expect(outside.sort()).toEqual(['transformer.ln_f.bias', 'transformer.ln_f.weight', 'transformer.wpe.weight']);
    const block = parametersBeside(model, 1, new Set(['transformer.h.1.attn.c_attn']));
    expect(block.map(({ name }) => name)).not.toContain('transformer.h.1.attn.c_attn.weight');
    const matrix = block.find(({ name }) => name === 'transformer.h.1.mlp.c_fc.weight')!;
    // Conv1D lies [in, out]; parameters are [out, in].
    expect(matrix.shape).toEqual([256, 64]);
    expect(parameterValues(await readParameter(model, matrix)).data).toEqual((await model.denseWeight('transformer.h.1.mlp.c_fc')).data);
  });

  it('are rounded to their stored type', () => {
    const stored = storedParameter(norm, float32Tensor([2], [1 + 2 ** -12, 3])) as DenseWeight;
    expect(stored.tensor).toEqual(hostTensor('bfloat16', [2], Uint16Array.of(0x3f80, 0x4040)));
    expect([...parameterValues(stored).data]).toEqual([1, 3]);
  });

  it('are refused where they cannot be stored', () => {
    expect(storedParameter({ ...norm, dtype: 'float16' }, float32Tensor([2], [1, 1e6]))).toBe('element 1 is 1000000, which is not finite in float16');
    expect(storedParameter(norm, float32Tensor([1, 2]))).toMatch(/shape is \[1, 2\]; it should be \[2\]/);
    const module = { form: 'sparse' } as ModuleInfo;
    expect(storedParameter({ ...norm, module }, float32Tensor([2]))).toMatch(/sparse already/);
  });

  it('are laid over a model, in the layout of its files, below replaced modules', async () => {
    await using base = await openModel(fixture, { architectures: [gpt2] });
    const name = 'transformer.h.0.mlp.c_fc';
    const [doubled, ones] = [await base.denseWeight(name), float32Tensor([64], new Float32Array(64).fill(1))];
    doubled.data.forEach((value, index) => (doubled.data[index] = 2 * value));
    const dense = (tensor: typeof ones): (() => Promise<DenseWeight>) => () => Promise.resolve({ form: 'dense', shape: tensor.shape, tensor });
    const model = overlayModel(base, new Map(), undefined, new Map([[`${name}.weight`, dense(doubled)], ['transformer.h.0.ln_1.weight', dense(ones)]]));
    expect((await model.denseWeight(name)).data).toEqual(doubled.data);
    const before = await base.tensor(`${name}.weight`);
    expect(await model.tensor(`${name}.weight`)).toEqual({ ...before, data: (before.data as Float32Array).map((value) => 2 * value) });
    expect((await model.tensor('transformer.h.0.ln_1.weight')).data).toEqual(ones.data);
    expect(model.bytes).toBe(base.bytes);
    expect(model.modules).toEqual(base.modules);
    const both = overlayModel(base, new Map([[name, () => base.weight(name)]]), undefined, new Map([[`${name}.weight`, dense(doubled)]]));
    expect((await both.denseWeight(name)).data).toEqual((await base.denseWeight(name)).data);
    expect(() => overlayModel(base, new Map(), undefined, new Map([['nothing', dense(ones)]]))).toThrow(/no tensor "nothing"/);
  });
});
