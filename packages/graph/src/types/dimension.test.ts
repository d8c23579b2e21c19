import type { Dimension } from '@pare/core';
import { describe, expect, it } from 'vitest';
import {
  addDimensions,
  alwaysAtMost,
  broadcastDimensions,
  broadcastShapes,
  ceilDivide,
  dimensionProduct,
  divideExactly,
  evaluateDimension,
  floorDivide,
  maximumDimension,
  minimumDimension,
  multiplyDimensions,
  sameDimension,
  subtractDimensions,
  unifyDimensions,
} from './dimension.js';

describe('symbolic dimensions', () => {
  it('adds, subtracts and multiplies in one canonical form', () => {
    expect(addDimensions('sequence', 'past')).toBe('past + sequence');
    expect(addDimensions('past + sequence', 1)).toBe('past + sequence + 1');
    expect(subtractDimensions('past + sequence', 'past')).toBe('sequence');
    expect(subtractDimensions(2, 'a')).toBe('-a + 2');
    expect(multiplyDimensions('batch', 8)).toBe('8*batch');
    expect(multiplyDimensions('a + 1', 'b')).toBe('a*b + b');
    expect(addDimensions('a', 'a')).toBe('2*a');
    expect(subtractDimensions('a', 'a')).toBe(0);
  });

  it('divides exactly where that holds for every value', () => {
    expect(divideExactly('12*batch*sequence', '4*batch')).toBe('3*sequence');
    expect(divideExactly('a*b + 2*b', 'b')).toBe('a + 2');
    expect(divideExactly('a*b + a*c', 'b + c')).toBe('a');
    expect(divideExactly('a + 1', 'a')).toBeUndefined();
    expect(divideExactly('3*a', 2)).toBeUndefined();
    expect(divideExactly(12, 5)).toBeUndefined();
    expect(divideExactly('a', 0)).toBeUndefined();
  });

  it('keeps other quotients as functions that can be evaluated', () => {
    const half = floorDivide(addDimensions('width', 3), 2);
    expect(half).toBe('floor((width + 3) / 2)');
    expect(evaluateDimension(half, { width: 8 })).toBe(5);
    expect(floorDivide('4*a', 2)).toBe('2*a');
    expect(evaluateDimension(ceilDivide('width', 4), { width: 9 })).toBe(3);
    const nested = floorDivide(addDimensions(half, 1), 2);
    expect(evaluateDimension(nested, { width: 8 })).toBe(3);
  });

  it('orders what can be ordered and names the rest', () => {
    expect(minimumDimension('a', 'a + b')).toBe('a');
    expect(maximumDimension('a', 'a + 3')).toBe('a + 3');
    expect(minimumDimension('b', 'a')).toBe('min(a, b)');
    expect(maximumDimension('max(a, b)', 'b')).toBe('max(a, b)');
    expect(maximumDimension('max(a, b)', 'c + 1')).toBe('max(a, b, c + 1)');
    expect(evaluateDimension('max(a, b, c + 1)', { a: 1, b: 5, c: 7 })).toBe(8);
    expect(alwaysAtMost('a', 'a + b')).toBe(true);
    expect(alwaysAtMost('a + 1', 'a')).toBe(false);
  });

  it('takes names that are no expressions as they are', () => {
    expect(sameDimension('batch-size', 'batch - size')).toBe(false);
    expect(addDimensions('onnx::dim/0', 0)).toBe('onnx::dim/0');
    const sum = addDimensions('dim/0', 1);
    expect(sum).toBe('`dim/0` + 1');
    expect(subtractDimensions(sum, 1)).toBe('dim/0');
    expect(evaluateDimension(sum, { 'dim/0': 4 })).toBe(5);
    expect(evaluateDimension('a + b', { a: 1 })).toBeUndefined();
  });

  it('reads expressions that exporters write', () => {
    expect(sameDimension('past_sequence_length + sequence_length', 'sequence_length + past_sequence_length')).toBe(true);
    expect(subtractDimensions('past_sequence_length + 1', 'past_sequence_length')).toBe(1);
    expect(evaluateDimension('(a + 1)*2', { a: 3 })).toBe(8);
  });

  it('unifies and broadcasts', () => {
    expect(unifyDimensions('batch', 4)).toBe(4);
    expect(unifyDimensions(4, 5)).toBeUndefined();
    expect(broadcastDimensions(1, 'a')).toBe('a');
    expect(broadcastDimensions('a', 7)).toBe(7);
    expect(broadcastDimensions(2, 3)).toBeUndefined();
    expect(broadcastDimensions('a', 'b')).toBe('max(a, b)');
    expect(broadcastDimensions('a + b', 'b + a')).toBe('a + b');
    expect(broadcastShapes(['batch', 1, 'sequence', 64], ['sequence', 1], [1])).toEqual(['batch', 1, 'sequence', 64]);
    expect(broadcastShapes([2, 3], [3, 2])).toBeUndefined();
    expect(broadcastShapes()).toEqual([]);
    expect(dimensionProduct(['batch', 3, 'batch'])).toBe('3*batch*batch');
  });

  it('stays small on hostile names and arithmetic', () => {
    const nested = '('.repeat(100_000);
    expect(addDimensions(nested, 0)).toBe(nested);
    const factors = Array.from({ length: 40 }, () => '(a + b + c)').join('*');
    expect(addDimensions(factors, 0)).toBe(factors);
    let power: Dimension = 'n';
    for (let step = 0; step < 60; step++) power = multiplyDimensions(power, power);
    expect(String(power).length).toBeLessThan(2000);
    let tower: Dimension = 'n';
    for (let step = 0; step < 60; step++) tower = addDimensions(tower, floorDivide(tower, 3));
    expect(String(tower).length).toBeLessThan(5000);
    expect(sameDimension(power, tower)).toBe(false);
  });
});
