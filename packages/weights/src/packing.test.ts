import { createRandom, float32Tensor, hostTensor, type DenseWeight, type QuantizedWeight, type WeightForm } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { columnGroups, denseFloat32, dequantize, squaredError } from './dequantize.js';
import { matMulNBitsProblem, packMatMulNBits, unpackMatMulNBits } from './mat-mul-nbits.js';
import { packRows, unpackRows } from './pack-rows.js';
import { quantizeMatrix } from './quantize.js';
import { deserializeForm, serializeForm } from './serialize.js';
import { storedBits } from './stored-bits.js';
import { resolveScaleType, type QuantizerOptions, type ScaleType } from './scheme.js';

const widths = [2, 3, 4, 5, 6, 7, 8] as const;

function sample(count: number, seed = 1): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => random() - 0.4);
}

function quantized(shape: readonly [number, number], options: QuantizerOptions, scaleType: ScaleType = 'float16'): QuantizedWeight {
  return quantizeMatrix(sample(shape[0] * shape[1]), shape, options, scaleType);
}

describe('packRows', () => {
  it.each(widths)('gives back codes of %s bits, whatever the row length', (bits) => {
    const random = createRandom(bits);
    for (const columns of [1, 5, 31, 32, 33, 64, 100]) {
      const codes = Uint8Array.from({ length: 3 * columns }, () => Math.floor(random() * 2 ** bits));
      const words = packRows(codes, [3, columns], bits);
      expect(words.length).toBe(3 * Math.ceil((columns * bits) / 32));
      expect(unpackRows(words, [3, columns], bits)).toEqual(codes);
    }
  });

  it('puts the first column in the lowest bits', () => {
    expect([...packRows(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), [1, 8], 4)]).toEqual([0x87654321 | 0]);
    expect([...packRows(Uint8Array.of(255, 0, 0, 128, 7), [1, 5], 8)]).toEqual([0x800000ff | 0, 7]);
  });

  it('continues 3-bit fields across word borders', () => {
    // Eleven fields are 33 bits: of the eleventh, 0b101, two bits end the first word and one starts the second.
    const codes = new Uint8Array(11);
    codes[10] = 0b101;
    expect([...packRows(codes, [1, 11], 3)]).toEqual([0b01 << 30, 0b1]);
  });
});

describe('MatMulNBits layout', () => {
  const schemes = widths.flatMap((bits) => [true, false].map((symmetric) => ({ bits, symmetric })));

  it.each(schemes)('keeps the matrix: $bits bits, symmetric $symmetric', ({ bits, symmetric }) => {
    for (const blockSize of [16, 32, 64, 128, 256]) {
      for (const groupSize of [blockSize, 2 * blockSize, -1]) {
        const form = quantized([5, 3 * blockSize], { bits, symmetric, groupSize }, 'float32');
        const packed = packMatMulNBits(form, blockSize);
        expect(packed.bits).toBe(bits <= 2 ? 2 : bits <= 4 ? 4 : 8);
        expect(packed.data.length).toBe((5 * 3 * blockSize * packed.bits) / 8);
        expect(packed.zeroPoints === undefined).toBe(symmetric);
        expect(dequantize(unpackMatMulNBits(packed, [5, 3 * blockSize]))).toEqual(dequantize(form));
      }
    }
  });

  it('fills the last block with codes that mean 0', () => {
    const form = quantized([2, 40], { bits: 4, symmetric: false, granularity: 'tensor' }, 'float32');
    const packed = packMatMulNBits(form, 32);
    expect(packed.blocks).toBe(2);
    const zero = form.zeros![0]!;
    expect([...packed.data.subarray(16 + 4, 32)]).toEqual(new Array(12).fill(zero | (zero << 4)));
    expect([...packed.zeroPoints!]).toEqual([zero | (zero << 4), zero | (zero << 4)]);
    expect(dequantize(unpackMatMulNBits(packed, [2, 40]))).toEqual(dequantize(form));
  });

  it('puts the first input in the low nibble and the output first', () => {
    const form = quantized([2, 16], { bits: 4, symmetric: true }, 'float32');
    const packed = packMatMulNBits(form, 16);
    expect(packed.data[0]).toBe(form.codes[0]! | (form.codes[1]! << 4));
    expect(packed.data[8]).toBe(form.codes[16]! | (form.codes[17]! << 4));
  });

  it('says what does not fit', () => {
    const form = quantized([2, 96], { bits: 4, symmetric: true, groupSize: 48 });
    expect(matMulNBitsProblem(form, 32)).toMatch(/groups of 48/);
    expect(matMulNBitsProblem(form, 16)).toBeUndefined();
    expect(matMulNBitsProblem(form, 24)).toMatch(/power of two/);
    expect(matMulNBitsProblem(form, 512)).toMatch(/power of two/);
    expect(() => packMatMulNBits(form, 32)).toThrow(expect.objectContaining({ code: 'PARE_FORM_UNSUPPORTED' }));
    const scattered = { ...form, groupIndex: Int32Array.from({ length: 96 }, (_, column) => column % 2) };
    expect(matMulNBitsProblem(scattered, 16)).toMatch(/group index/);
    const blocked = { ...form, groupIndex: Int32Array.from({ length: 96 }, (_, column) => (column < 32 ? 1 : 0)) };
    expect(matMulNBitsProblem(blocked, 32)).toBeUndefined();
    expect(dequantize(unpackMatMulNBits(packMatMulNBits(blocked, 32), [2, 96]))).toEqual(dequantize(blocked));
  });
});

describe('dequantize', () => {
  it('follows the group index', () => {
    const form: QuantizedWeight = {
      form: 'quantized',
      shape: [1, 4],
      scheme: { bits: 4, symmetric: false, granularity: 'group', groupSize: 2 },
      codes: Uint8Array.of(3, 3, 3, 3),
      scales: Float32Array.of(1, 10),
      scaleType: 'float32',
      zeros: Uint8Array.of(1, 2),
      groupIndex: Int32Array.of(1, 0, 0, 1),
    };
    expect([...dequantize(form)]).toEqual([10, 2, 2, 10]);
    expect([...columnGroups(form)]).toEqual([1, 0, 0, 1]);
  });

  it('writes into a given array', () => {
    const form = quantized([2, 8], { bits: 4, symmetric: true });
    const into = new Float32Array(16);
    expect(dequantize(form, into)).toBe(into);
    expect(into).toEqual(dequantize(form));
  });

  it('measures the squared error of any form', () => {
    const weight = sample(6 * 40);
    const forms = [
      quantizeMatrix(weight, [6, 40], { bits: 3, symmetric: false, groupSize: 16 }, 'float16'),
      quantizeMatrix(weight, [6, 40], { bits: 3, symmetric: true, granularity: 'tensor' }, 'float16'),
    ];
    for (const form of forms) {
      const values = dequantize(form);
      expect(squaredError(weight, form)).toBeCloseTo(weight.reduce((sum, value, index) => sum + (value - values[index]!) ** 2, 0), 6);
    }
  });

  it('reads dense weights of every float type', () => {
    const dense = (tensor: DenseWeight['tensor']): DenseWeight => ({ form: 'dense', shape: tensor.shape, tensor });
    const values = float32Tensor([2], [1.5, -2]);
    expect(denseFloat32(dense(values))).toBe(values.data);
    expect([...denseFloat32(dense(hostTensor('float16', [2], Uint16Array.of(0x3e00, 0xc000))))]).toEqual([1.5, -2]);
    expect([...denseFloat32(dense(hostTensor('bfloat16', [2], Uint16Array.of(0x3fc0, 0xc000))))]).toEqual([1.5, -2]);
    expect([...denseFloat32(dense(hostTensor('float64', [2], Float64Array.of(1.5, -2))))]).toEqual([1.5, -2]);
    expect(() => denseFloat32(dense(hostTensor('int8', [1])))).toThrow(expect.objectContaining({ code: 'PARE_FORM_UNSUPPORTED' }));
  });
});

describe('storedBits', () => {
  it('counts codes, scales, zeros and the group index', () => {
    expect(storedBits(quantized([4, 128], { bits: 4, symmetric: true, groupSize: 64 }))).toBe(4 * 128 * 4 + 8 * 16);
    expect(storedBits(quantized([4, 128], { bits: 3, symmetric: false, groupSize: 32 }, 'float32'))).toBe(4 * 128 * 3 + 16 * (32 + 3));
    expect(storedBits(quantized([4, 100], { bits: 8, symmetric: true }))).toBe(4 * 100 * 8 + 4 * 16);
    expect(storedBits(quantized([4, 100], { bits: 8, symmetric: true, granularity: 'tensor' }))).toBe(4 * 100 * 8 + 16);
    expect(storedBits(quantized([1, 100], { bits: 4, symmetric: true, groupSize: 64 }))).toBe(100 * 4 + 2 * 16);
    const form = quantized([4, 128], { bits: 4, symmetric: true, groupSize: 64 });
    expect(storedBits({ ...form, groupIndex: new Int32Array(128) })).toBe(storedBits(form) + 128 * 32);
  });

  it('counts dense tensors by their type and shared ones as nothing', () => {
    expect(storedBits({ form: 'dense', shape: [3, 5], tensor: hostTensor('bfloat16', [3, 5]) })).toBe(240);
    expect(storedBits({ form: 'shared', shape: [3, 5], with: 'embedding' })).toBe(0);
  });
});

describe('resolveScaleType', () => {
  it('takes what is asked for, or the type of the weight', () => {
    expect(resolveScaleType('float16', 'bfloat16')).toBe('float16');
    expect(resolveScaleType('auto', 'bfloat16')).toBe('bfloat16');
    expect(resolveScaleType('auto', 'float16')).toBe('float16');
    expect(resolveScaleType('auto', 'float64')).toBe('float32');
  });
});

describe('serializeForm', () => {
  const forms: [string, WeightForm][] = [
    ['dense', { form: 'dense', shape: [2, 3], tensor: hostTensor('bfloat16', [2, 3], Uint16Array.of(1, 2, 3, 4, 5, 6)) }],
    ['shared', { form: 'shared', shape: [2, 3], with: 'model.embed_tokens' }],
    ...widths.flatMap((bits): [string, WeightForm][] => [
      [`symmetric ${String(bits)} bits`, quantized([3, 70], { bits, symmetric: true, groupSize: 32 }, 'bfloat16')],
      [`asymmetric ${String(bits)} bits`, quantized([3, 70], { bits, symmetric: false, granularity: 'tensor' }, 'float32')],
    ]),
    ['with a group index', { ...quantized([3, 70], { bits: 4, symmetric: false, groupSize: 32 }), groupIndex: Int32Array.from({ length: 70 }, (_, column) => column % 3) }],
  ];

  it.each(forms)('gives back the same bits: %s', (_, form) => {
    const { tensors, metadata } = serializeForm(form);
    expect(deserializeForm(tensors, metadata)).toEqual(form);
  });

  it('refuses scales that their type cannot hold', () => {
    const form = { ...quantized([1, 4], { bits: 4, symmetric: true }), scales: Float32Array.of(0.1) };
    expect(() => serializeForm(form)).toThrow(expect.objectContaining({ code: 'PARE_FORM_INVALID' }));
  });

  it('names what is damaged', () => {
    const { tensors, metadata } = serializeForm(quantized([3, 70], { bits: 4, symmetric: false }));
    const damaged = (changes: { tensors?: typeof tensors; metadata?: Record<string, string> }): (() => WeightForm) => {
      const all = { ...tensors, ...changes.tensors };
      return () => deserializeForm(all, { ...metadata, ...changes.metadata });
    };
    expect(damaged({ tensors: { codes: hostTensor('int32', [1]) } })).toThrow(/codes/);
    expect(damaged({ tensors: { zeros: hostTensor('int8', [3]) } })).toThrow(/zeros/);
    expect(damaged({ metadata: { bits: '9' } })).toThrow(/9 bits/);
    expect(damaged({ metadata: { bits: '12' } })).toThrow(/12 bits/);
    expect(damaged({ metadata: { form: 'magic' } })).toThrow(/magic/);
    expect(damaged({ metadata: { shape: '3' } })).toThrow(/shape/);
    expect(damaged({ metadata: { shape: '3xb' } })).toThrow(/shape/);
    expect(damaged({ metadata: { layout: '2' } })).toThrow(/layout 2/);
    expect(damaged({ metadata: { granularity: 'cell' } })).toThrow(/cell/);
    expect(damaged({ metadata: { scaleType: 'int8' } })).toThrow(/int8/);
    expect(damaged({ metadata: { groupSize: '0' } })).toThrow(/group size/);
    expect(() => deserializeForm({}, metadata)).toThrow(/missing/);
    expect(() => deserializeForm(tensors, {})).toThrow(/missing/);
  });
});
