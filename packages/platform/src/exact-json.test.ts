import { expect, it } from 'vitest';
import { exactJson, parseExactJson } from './exact-json.js';

it('keeps every number as it was', () => {
  const value = { a: [NaN, Infinity, -Infinity, -0, 0, 1.5], b: { c: -0 }, d: 'NaN', e: null };
  expect(parseExactJson(exactJson(value))).toStrictEqual(value);
  expect(exactJson([-0, 1])).toBe('[{"$number":"-0"},1]');
});
