import { describe, expect, it } from 'vitest';
import { majority, sameAnswer } from './answers.js';
import { evaluateArithmetic } from './arithmetic.js';

describe('sameAnswer', () => {
  it('compares numbers where the right answer is one', () => {
    expect(sameAnswer(' 42 apples.', '42', 'auto')).toBe(true);
    expect(sameAnswer('1,234.5', '1234.50', 'auto')).toBe(true);
    expect(sameAnswer('-3', '3', 'auto')).toBe(false);
    expect(sameAnswer('43', '42', 'auto')).toBe(false);
    expect(sameAnswer('none', '42', 'auto')).toBe(false);
    expect(sameAnswer('4200', '42', 'auto')).toBe(false);
    expect(sameAnswer('42.0000001', '42', 'number')).toBe(true);
  });

  it('compares texts without case, space and full stop', () => {
    expect(sameAnswer(' ruby. ', 'Ruby', 'auto')).toBe(true);
    expect(sameAnswer('Ruby', 'Rubin', 'auto')).toBe(false);
    expect(sameAnswer('42 apples', '42', 'text')).toBe(false);
    expect(sameAnswer('Ruby', 'Ruby', 'number')).toBe(false);
  });

  it('works out equations', () => {
    expect(sameAnswer('5', '( 8.0 - 3.0 )', 'auto')).toBe(true);
    expect(evaluateArithmetic('2 + 3 * (4 - 1) / 2')).toBe(6.5);
    expect(evaluateArithmetic('-(2 - 5)')).toBe(3);
    for (const text of ['', '1 / 0', '2 +', '(2', '2)', 'process.exit()', '1 2', '1e3']) expect(evaluateArithmetic(text)).toBeUndefined();
  });

  it('finds what most say', () => {
    expect(majority(['7', '8', '8.0'], 'number')).toBe('8');
    expect(majority(['a', 'b'], 'text')).toBe('a');
    expect(majority([], 'auto')).toBeUndefined();
  });
});
