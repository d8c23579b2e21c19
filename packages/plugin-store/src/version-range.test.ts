import { describe, expect, it } from 'vitest';
import { inRange } from './version-range.js';

describe('inRange', () => {
  // Examples of https://semver.org (section 11) and of npm's documentation of ranges.
  it.each([
    ['1.2.3', '1.2.3', true],
    ['1.2.4', '1.2.3', false],
    ['1.9.0', '^1.2.3', true],
    ['2.0.0', '^1.2.3', false],
    ['0.2.9', '^0.2.3', true],
    ['0.3.0', '^0.2.3', false],
    ['0.0.4', '^0.0.3', false],
    ['0.0.9', '^0.0', true],
    ['0.1.0', '^0.0', false],
    ['0.9.0', '^0', true],
    ['1.2.9', '~1.2.3', true],
    ['1.3.0', '~1.2', false],
    ['1.9.9', '~1', true],
    ['1.4.0', '1.x', true],
    ['2.0.0', '1.*', false],
    ['7.0.0', '*', true],
    ['7.0.0', '', true],
    ['20.20.2', '>=20.19', true],
    ['20.18.0', '>=20.19', false],
    ['2.5.0', '>=1 <3', true],
    ['3.0.0', '>= 1 < 3', false],
    ['1.3.0', '>1.2', true],
    ['1.2.9', '>1.2', false],
    ['1.2.9', '<=1.2', true],
    ['1.3.0', '<=1.2', false],
    ['2.3.9', '1.2.3 - 2.3', true],
    ['2.4.0', '1.2.3 - 2.3', false],
    ['3.1.0', '^1.0.0 || ^3.0.0', true],
    ['2.1.0', '^1.0.0 || ^3.0.0', false],
    ['1.0.0-beta.2', '>=1.0.0-beta.1', true],
    ['1.0.0-beta.11', '>1.0.0-beta.2', true],
    ['1.0.0-alpha', '>=1.0.0-alpha.1', false],
    ['1.0.0', '>1.0.0-rc.1', true],
    ['1.1.0-beta', '^1.0.0', false],
    ['2.0.0-beta', '<2', false],
    ['1.2.3+build.5', '=1.2.3', true],
  ])('%s in "%s" is %s', (version, range, expected) => {
    expect(inRange(version, range)).toBe(expected);
  });

  it.each(['latest', 'file:../x', 'workspace:*', '1.2.3.4'])('does not know "%s"', (range) => {
    expect(inRange('1.0.0', range)).toBeUndefined();
  });
});
