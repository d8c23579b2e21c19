import { sampleKernels } from '@pare/conformance';
import { position, type Expression } from '@pare/executor';
import { describe, expect, it } from 'vitest';
import { traitsOf } from '../device/cuda-device.js';
import { cuda } from './cuda.js';
import { dialect } from './dialect.js';

const traits = traitsOf({ sharedMemory: 101_376 });
describe('printed kernels', () => {
  it('are equal whatever their counters are called, so that they are compiled once', () => {
    const texts = (name: string): string[] => sampleKernels(name).map((kernel) => cuda.print(kernel, traits).source.code);
    expect(texts('loop1041')).toEqual(texts('loop3'));
  });

  it('are equal for all sizes', () => {
    const [map] = sampleKernels('loop1');
    const printed = [30, 31_000].map((count) => cuda.print({ ...map, count }, traits));
    expect(printed[0]!.source.code).toBe(printed[1]!.source.code);
    expect(printed[0]!.uniforms).not.toEqual(printed[1]!.uniforms);
  });

  it('say how many invocations a block has, and are launched over enough of them', () => {
    const [map, reduce, lines] = sampleKernels('loop1').map((kernel) => cuda.print({ ...kernel, count: 1000 }, traits));
    expect([map!.source.invocations, map!.workgroups]).toEqual([256, [4, 1, 1]]);
    expect([reduce!.source.invocations, reduce!.workgroups]).toEqual([32, [1000, 1, 1]]);
    expect([lines!.source.invocations, lines!.workgroups]).toEqual([64, [16, 1, 1]]);
  });

  it('never read or write outside of a buffer', () => {
    for (const kernel of sampleKernels('loop1')) {
      const { code } = cuda.print(kernel, traits).source;
      const body = code.slice(code.indexOf('generated('));
      expect(body).toMatch(/b0\[within\(\w+, u\d+\)\]/);
      expect(body).not.toMatch(/b0\[(?!within)/);
    }
    expect(cuda.print(sampleKernels('loop1')[2], traits).source.code).toMatch(/if \(\(u32\)v\d+ < \(u32\)u\d+\) result\[/);
  });

  it('fill bytes with two elements of 4 bits, each written once', () => {
    const value: Expression = { kind: 'load', type: 'i32', buffer: { id: 4, bytes: 4096 }, dtype: 'int4', index: position };
    const { source, workgroups } = cuda.print({ kind: 'map', name: 'copy', dtype: 'int4', count: 1025, value }, traits);
    expect(source.code).toContain('result[byte] = (u8)bits;');
    expect(workgroups).toEqual([3, 1, 1]);
  });
});

describe('literals', () => {
  it.each([
    [0, '(0.0f)'],
    [-3, '(-3.0f)'],
    [0.1, '__uint_as_float(0x3dcccccdu)'],
    [-0, '__uint_as_float(0x80000000u)'],
    [Infinity, '__uint_as_float(0x7f800000u)'],
    [NaN, 'notANumber()'],
    [2 ** 25, '__uint_as_float(0x4c000000u)'],
  ])('%d is %s', (value, text) => {
    expect(dialect.literal('f32', value)).toBe(text);
  });

  it('of 64 bits keep all of them', () => {
    expect(dialect.literal('i64', -1n)).toBe('(i64)18446744073709551615ull');
    expect(dialect.literal('u64', 2n ** 63n)).toBe('9223372036854775808ull');
    expect(dialect.literal('i32', -2147483648)).toBe('(-2147483647 - 1)');
  });
});
