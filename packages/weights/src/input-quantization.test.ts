import { createRandom, float32Tensor, type FactorizedWeight, type InputQuantization, type ModuleInfo, type ModulePlan, type QuantizedWeight } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { evaluateGraph } from '@pare/operators';
import { describe, expect, it } from 'vitest';
import { planCorrection } from './form-problem.js';
import { dequantize } from './dequantize.js';
import { inputSchemeFor, inputTargetProblem } from './input-options.js';
import { dynamicTokenInput, inputProblem, inputSchemeOf, staticTensorInput } from './input-quantization.js';
import { lowerLinear } from './lower.js';
import { InputRounding } from './lower-input.js';
import { quantizeMatrix } from './quantize.js';
import { deserializeForm, serializeForm } from './serialize.js';
import { sparseWeight } from './sparse/sparse-weight.js';
import { storedBits } from './stored-bits.js';
import { structureProblem } from './structure-problem.js';

const [rows, columns] = [5, 32];
const random = createRandom(3);
const form = quantizeMatrix(Float32Array.from({ length: rows * columns }, () => random() - 0.5), [rows, columns], { bits: 8, symmetric: true }, 'float16');
const still = staticTensorInput(2, 'float16');
const shifted: InputQuantization = { ...still, symmetric: false, zero: -30 };

/** Nearest whole number, ties to even. */
function nearestEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

/** x̂ of one row, by the definition. */
function roundedRow(x: readonly number[], input: InputQuantization): number[] {
  if (input.dynamic) {
    const scale = Math.fround(Math.fround(Math.max(1e-5, ...x.map(Math.abs))) / 127);
    return x.map((value) => nearestEven(Math.fround(value / scale)) * scale);
  }
  const { scale, zero = 0 } = input;
  return x.map((value) => (Math.min(127, Math.max(-128, nearestEven(Math.fround(value / scale!)) + zero)) - zero) * scale!);
}

describe('lowerLinear', () => {
  it.each([
    ['token', dynamicTokenInput],
    ['tensor', still],
    ['tensor with a zero point', shifted],
  ])('rounds inputs before the product: %s', (_, input) => {
    // Values of all sizes, halves of a step, beyond the static range; and a row of zeros.
    const x = [
      Array.from({ length: columns }, (_, index) => Math.fround(((index * 29) % 64) / 13 - 2.4)),
      Array.from({ length: columns }, (_, index) => Math.fround((index - 16) * 0.5 * (still.scale ?? 1))),
      new Array<number>(columns).fill(0),
    ];
    const builder = new GraphBuilder('layer');
    builder.output(lowerLinear(builder, builder.input('x', 'float32', ['tokens', columns]), { ...form, input }, 'w'), 'y');
    const y = evaluateGraph(builder.build(), { x: float32Tensor([x.length, columns], Float32Array.from(x.flat())) })['y']!.data as Float32Array;
    const weight = dequantize(form);
    const expected = x.flatMap((row) => {
      const seen = roundedRow(row, input);
      return Array.from({ length: rows }, (_, output) => seen.reduce((sum, value, column) => sum + value * weight[output * columns + column]!, 0));
    });
    for (const [index, value] of expected.entries()) expect(y[index]).toBeCloseTo(value, 5);
  });

  it('rounds an input once for all layers that read it on one grid', () => {
    const builder = new GraphBuilder('layers');
    const rounding = new InputRounding(builder);
    const x = builder.input('x', 'float32', [2, columns]);
    expect(rounding.round(x, dynamicTokenInput)).toBe(rounding.round(x, inputSchemeFor('dynamic-token')!));
    expect(() => rounding.round(x, still)).toThrow(/needs its scale/);
  });
});

describe('a weight whose layer rounds its inputs', () => {
  it.each([dynamicTokenInput, still, shifted])('is stored with all it needs: %o', (input) => {
    const quantized: QuantizedWeight = { ...form, input };
    for (const weight of [quantized, sparseWeight(quantized, { kind: 'unstructured' }, Uint8Array.from({ length: rows * columns }, (_, index) => index % 2))]) {
      expect(structureProblem(weight)).toBeUndefined();
      const { tensors, metadata } = serializeForm(weight);
      expect(deserializeForm(tensors, metadata)).toEqual(weight);
    }
    // A static scale of float16, and a zero point.
    expect(storedBits(quantized) - storedBits(form)).toBe(input.dynamic ? 0 : input.symmetric ? 16 : 24);
  });

  it('keeps the scale of an overlay that differs from its plan', () => {
    const plan: ModulePlan = { module: 'm', produces: 'quantized', storedBits: storedBits({ ...form, input: still }), flops: 0, workingBytes: 0, input: inputSchemeOf({ ...form, input: still }) };
    expect(planCorrection({ ...form, input: still }, plan)).toEqual({});
    expect(planCorrection({ ...form, input: dynamicTokenInput }, plan).became).toMatchObject({ storedBits: storedBits(form), input: dynamicTokenInput });
    expect(planCorrection({ ...form, input: dynamicTokenInput }, { ...plan, storedBits: storedBits(form), input: undefined }).became).toMatchObject({ input: dynamicTokenInput });
  });

  it('is checked', () => {
    const problem = (changes: Partial<InputQuantization>): string | undefined => inputProblem({ ...dynamicTokenInput, ...changes });
    expect(problem({})).toBeUndefined();
    expect(problem({ bits: 4 as 8 })).toMatch(/4 bits; 8/);
    expect(problem({ symmetric: false })).toMatch(/zero points/);
    expect(problem({ scale: 1 })).toMatch(/static scale/);
    expect(problem({ granularity: 'tensor' })).toMatch(/dynamically by tensor/);
    expect(problem({ dynamic: false })).toMatch(/statically by token/);
    for (const scale of [0, -1, Infinity, NaN, undefined]) expect(inputProblem({ ...still, scale })).toMatch(/not positive/);
    expect(inputProblem({ ...still, zero: 1 })).toMatch(/symmetrically/);
    for (const zero of [undefined, 128, 0.5]) expect(inputProblem({ ...shifted, zero })).toMatch(/−128 to 127/);
    expect(structureProblem({ ...form, input: { ...still, scale: 0 } })).toMatch(/not positive/);
    const left: QuantizedWeight = { ...form, input: dynamicTokenInput };
    const right = quantizeMatrix(new Float32Array(columns * columns), [columns, columns], { bits: 8, symmetric: true }, 'float32');
    const product: FactorizedWeight = { form: 'factorized', shape: [rows, columns], left, right };
    expect(structureProblem(product)).toMatch(/left factor rounds its inputs/);
    const { tensors, metadata } = serializeForm({ ...form, input: still });
    expect(() => deserializeForm(tensors, { ...metadata, input: JSON.stringify({ ...still, scale: -1 }) })).toThrow(expect.objectContaining({ code: 'PARE_FORM_INVALID' }));
  });

  it('takes a scale that its type can hold', () => {
    expect(staticTensorInput(254, 'float32').scale).toBe(2);
    expect(staticTensorInput(0, 'float16').scale).toBeGreaterThan(0);
    expect(() => staticTensorInput(1e10, 'float16')).toThrow(expect.objectContaining({ code: 'PARE_SCALE_OVERFLOW' }));
  });

  it('is no embedding and no product', () => {
    const info: Pick<ModuleInfo, 'kind' | 'form'> = { kind: 'embedding', form: 'dense' };
    expect(inputTargetProblem('none', info)).toBeUndefined();
    expect(inputTargetProblem('dynamic-token', { kind: 'linear', form: 'dense' })).toBeUndefined();
    expect(inputTargetProblem('dynamic-token', info)).toMatch(/no inputs to round; set activations: none/);
    expect(inputTargetProblem('dynamic-token', { kind: 'linear', form: 'factorized' })).toMatch(/two matrices do not round/);
  });
});
