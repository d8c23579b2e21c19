import { float32Tensor, type ModuleInfo, type QuantizedWeight, type WeightForm } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { formProblem } from './form-problem.js';

const module = { name: 'm', shape: [2, 4] } as unknown as ModuleInfo;
const problem = (form: WeightForm): string | undefined => formProblem(form, module, ['dense', 'quantized']);

const good: QuantizedWeight = {
  form: 'quantized',
  shape: [2, 4],
  scheme: { bits: 4, symmetric: false, granularity: 'group', groupSize: 2 },
  codes: new Uint8Array(8).fill(15),
  scales: new Float32Array(4).fill(1),
  scaleType: 'float32',
  zeros: new Uint8Array(4).fill(8),
  groupIndex: undefined,
};

describe('formProblem', () => {
  it('accepts proper forms', () => {
    expect(problem(good)).toBeUndefined();
    expect(problem({ ...good, groupIndex: Int32Array.of(0, 1, 0, 1) })).toBeUndefined();
    expect(problem({ ...good, scheme: { bits: 8, symmetric: true, granularity: 'channel', groupSize: 4 }, scales: new Float32Array(2), zeros: undefined })).toBeUndefined();
    expect(problem({ ...good, scheme: { ...good.scheme, granularity: 'tensor' }, scales: new Float32Array(1), zeros: new Uint8Array(1) })).toBeUndefined();
    expect(problem({ form: 'dense', shape: [2, 4], tensor: float32Tensor([2, 4]) })).toBeUndefined();
  });

  it.each<[string, WeightForm]>([
    ['shape', { ...good, shape: [4, 2] }],
    ['codes instead', { ...good, codes: new Uint8Array(7) }],
    ['scales instead', { ...good, scales: new Float32Array(2) }],
    ['0 zero points instead', { ...good, zeros: undefined }],
    ['symmetric and has zero points', { ...good, scheme: { ...good.scheme, symmetric: true } }],
    ['code 3 is 16', { ...good, codes: Uint8Array.of(0, 0, 0, 16, 0, 0, 0, 0) }],
    ['zero point', { ...good, zeros: new Uint8Array(4).fill(16) }],
    ['scale 1 is NaN', { ...good, scales: Float32Array.of(1, Number.NaN, 1, 1) }],
    ['9 bits', { ...good, scheme: { ...good.scheme, bits: 9 } }],
    ['group size is 0', { ...good, scheme: { ...good.scheme, groupSize: 0 } }],
    ['group indices', { ...good, groupIndex: Int32Array.of(0) }],
    ['group index is outside', { ...good, groupIndex: Int32Array.of(0, 1, 2, 0) }],
    ['element 2 is Infinity', { form: 'dense', shape: [2, 4], tensor: float32Tensor([2, 4], [0, 0, Infinity, 0, 0, 0, 0, 0]) }],
    ['4 elements', { form: 'dense', shape: [2, 4], tensor: float32Tensor([2, 2]) }],
    ['int32', { form: 'dense', shape: [2, 4], tensor: { dtype: 'int32', shape: [2, 4], data: new Int32Array(8) } }],
    ['it is shared', { form: 'shared', shape: [2, 4], with: 'other' }],
  ])('refuses a wrong one: %s', (text, form) => {
    expect(problem(form)).toContain(text);
  });
});
