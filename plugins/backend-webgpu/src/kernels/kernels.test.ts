import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { launches } from './launch.js';
import { specialise } from './shader.js';
import { guaranteedTraits } from './testing.js';
import { boxes, windowOf, type Reach } from './windows.js';

it('has the texts of the .wgsl files', () => {
  const { status, stderr } = spawnSync(process.execPath, [path.join(import.meta.dirname, '../../../../tools/embed-kernels.mjs'), path.join(import.meta.dirname, '../..'), 'wgsl', '--check'], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});

describe('specialise', () => {
  it('keeps lines by flags and says constants after the text', () => {
    const text = ['#if A', 'one', '#if !B', 'two', '#end', '#else', 'three', '#end', 'four'].join('\n');
    expect(specialise(text, { A: true, B: false }).split('\n')).toEqual(['', 'one', '', 'two', '', '', '', '', 'four']);
    expect(specialise(text, { A: false, B: false, N: 3 }).split('\n')).toEqual(['', '', '', '', '', '', 'three', '', 'four', 'const N = 3;']);
  });

  it('repeats lines, nested too, on one line', () => {
    const text = ['#for i < N', 'a[$i] = 0; // a remark', '#for j < 2', 'b[$i][$j];', '#end', '#end', 'end'].join('\n');
    const lines = specialise(text, { N: 2 }).split('\n');
    expect(lines[1]).toBe('a[0] = 0; b[0][0]; b[0][1]; a[1] = 0; b[1][0]; b[1][1];');
    expect(lines[6]).toBe('end');
  });

  it.each(['#if X\n#end', '#while\n', '#end'])('refuses %j', (text) => {
    expect(() => specialise(text, {})).toThrow(RangeError);
  });
});

describe('launches', () => {
  it.each([0, 1, 7, 8, 9, 64, 65, 511, 512, 513, 1500])('covers %i workgroups once', (groups) => {
    const covered = new Set<number>();
    for (const { first, workgroups } of launches(groups, { maximumWorkgroups: 8 })) {
      expect(Math.max(...workgroups)).toBeLessThanOrEqual(8);
      const count = workgroups[0] * workgroups[1] * workgroups[2];
      for (let index = first; index < first + count; index++) {
        expect(covered.has(index)).toBe(false);
        covered.add(index);
      }
    }
    for (let index = 0; index < groups; index++) expect(covered.has(index)).toBe(true);
    expect(covered.size).toBeLessThanOrEqual(groups + 64);
  });
});

describe('boxes', () => {
  const traits = { ...guaranteedTraits, maximumBinding: 4096 };
  const reach = (buffer: string, strides: Record<string, number>): Reach => ({ buffer, access: 'read', elementBytes: 4, strides });

  it('takes everything at once where it fits', () => {
    expect(boxes({ i: { size: 32, multiple: 1 }, j: { size: 32, multiple: 1 } }, [reach('x', { i: 128, j: 4 })], traits)).toHaveLength(1);
  });

  it('covers every element once, within bindings', () => {
    const axes = { i: { size: 70, multiple: 4 }, j: { size: 45, multiple: 4 } };
    const [x, y] = [reach('x', { i: 180, j: 4 }), reach('y', { i: 4, j: 280 })];
    const seen = new Set<number>();
    for (const box of boxes(axes, [x, y], traits)) {
      for (const operand of [x, y]) {
        const { operand: window, base } = windowOf(operand, box, traits);
        expect(window.size).toBeLessThanOrEqual(traits.maximumBinding);
        expect(window.offset! % traits.offsetAlignment).toBe(0);
        expect(window.offset! + window.size!).toBeLessThanOrEqual(70 * 45 * 4);
        expect(window.offset! + base).toBe(box.start['i']! * operand.strides['i']! + box.start['j']! * operand.strides['j']!);
      }
      for (let i = 0; i < box.size['i']!; i++) {
        for (let j = 0; j < box.size['j']!; j++) {
          const element = (box.start['i']! + i) * 45 + box.start['j']! + j;
          expect(seen.has(element)).toBe(false);
          seen.add(element);
        }
      }
    }
    expect(seen.size).toBe(70 * 45);
  });

  it('refuses an element that is larger than a binding', () => {
    expect(() => boxes({ i: { size: 2, multiple: 1 } }, [{ ...reach('x', { i: 8192 }), elementBytes: 8192 }], traits)).toThrow('x does not fit');
  });
});
