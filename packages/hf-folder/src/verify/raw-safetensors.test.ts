import { describe, expect, it } from 'vitest';
import { fieldsOf, numbersOf } from './raw-safetensors.js';

describe('raw tensors', () => {
  it('reads numbers and fields by their definitions', () => {
    const view = new DataView(Uint8Array.of(0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00, 0x00, 0x7c).buffer);
    const half = numbersOf(view, 'F16');
    expect([0, 1, 2, 3].map(half)).toEqual([1, -2, 2 ** -24, Infinity]);
    expect(numbersOf(new DataView(Uint8Array.of(0x80, 0x3f).buffer), 'BF16')(0)).toBe(1);
    expect(numbersOf(new DataView(Uint8Array.of(0xff).buffer), 'I8')(0)).toBe(-1);
    expect(() => numbersOf(view, 'F8_E5M2')).toThrow(/no weight is stored as F8_E5M2/);
    const fields = fieldsOf(new DataView(Uint8Array.of(0b11_010_001, 0b0000000_1).buffer), 3);
    expect([0, 3, 6].map(fields)).toEqual([1, 2, 7]);
  });
});
