import { describe, expect, it } from 'vitest';
import { formatBytes, parseBytes } from './bytes.js';
import { collectAssignment, parseList } from './lists.js';
import { formatCount, formatMetric, formatNamedMetric, formatSeconds, parseInteger } from './numbers.js';
import { resumeCommand, shellQuote } from './shell.js';

describe('parseBytes', () => {
  it.each([
    ['8GiB', 8 * 2 ** 30],
    ['8 gib', 8 * 2 ** 30],
    ['1.5G', 1.5 * 2 ** 30],
    ['512MiB', 2 ** 29],
    ['900MB', 900e6],
    ['2tb', 2e12],
    ['.5k', 512],
    ['100B', 100],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseBytes(text, '--memory')).toBe(bytes);
  });

  it.each([
    ['lots', 'not an amount'],
    ['8', 'unit is missing'],
    ['8GiBs', '"GiBs" is not a unit'],
    ['-1GiB', 'not an amount'],
    ['0GiB', 'no memory at all'],
    ['0.1B', 'no memory at all'],
    ['', 'not an amount'],
    ['1e3MB', 'not an amount'],
    ['99999999999TiB', 'more than any machine'],
  ])('refuses "%s"', (text, reason) => {
    expect(() => parseBytes(text, '--memory')).toThrowError(expect.objectContaining({ code: 'PARE_COMMAND_INVALID', message: expect.stringContaining(reason) as string }) as Error);
  });
});

describe('numbers for people', () => {
  it('formats bytes with three digits', () => {
    expect([0, 1023, 1024, 1.5 * 2 ** 20, 734 * 2 ** 20, 1000 * 2 ** 20, 2.5 * 2 ** 40].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.00 KiB',
      '1.50 MiB',
      '734 MiB',
      '0.98 GiB',
      '2.50 TiB',
    ]);
  });

  it('formats times', () => {
    expect([0.84, 9.96, 10, 59.4, 59.6, 187, 3729, Number.NaN].map(formatSeconds)).toEqual(['0.8 s', '10.0 s', '10 s', '59 s', '1:00', '3:07', '1:02:09', '?']);
  });

  it('formats metrics and counts', () => {
    expect([12.7112, 7344384, 0.00001234, 4.25, 98765.4321].map(formatMetric)).toEqual(['12.71', '7,344,384', '1.234e-5', '4.250', '98765.4']);
    expect(formatCount(1234567)).toBe('1,234,567');
    expect(formatNamedMetric('bitsPerWeight', 16)).toBe('16.000');
    expect(formatNamedMetric('bytes', 2048)).toBe('2.00 KiB');
    expect(formatNamedMetric('compressionRatio', 3.14159)).toBe('3.14 ×');
    expect(formatNamedMetric('perplexity', 12.7112)).toBe('12.71');
  });
});

describe('parseInteger', () => {
  it('reads whole numbers from the minimum on', () => {
    expect(parseInteger('64', '--samples', 1)).toBe(64);
    for (const text of ['0', '-3', '1.5', '1e3', 'many', '', '99999999999999999999']) {
      expect(() => parseInteger(text, '--samples', 1)).toThrowError(`--samples got "${text}"`);
    }
  });
});

describe('parseList', () => {
  it('splits at commas', () => {
    expect(parseList('hf, onnx', '--format')).toEqual(['hf', 'onnx']);
  });
  it('refuses empty and repeated entries', () => {
    expect(() => parseList('hf,', '--format')).toThrowError('empty entry');
    expect(() => parseList('', '--format')).toThrowError('empty entry');
    expect(() => parseList('hf,onnx,hf', '--format')).toThrowError('"hf" twice');
  });
});

describe('collectAssignment', () => {
  it('keeps assignments in order', () => {
    expect(collectAssignment('rtn.bits=8', collectAssignment('gptq.groupSize=64'))).toEqual(['gptq.groupSize=64', 'rtn.bits=8']);
    expect(collectAssignment('gptq[1].bits=3')).toEqual(['gptq[1].bits=3']);
    expect(collectAssignment('x.text=a=b')).toEqual(['x.text=a=b']);
  });
  it.each(['groupSize=64', 'gptq.groupSize', 'gptq groupSize=1', '.a=1', 'gptq.=1', ''])('refuses "%s"', (text) => {
    expect(() => collectAssignment(text)).toThrowError(`--set got "${text}"`);
  });
});

describe('resumeCommand', () => {
  it('repeats the words, quoted, with --resume once and without --overwrite', () => {
    expect(resumeCommand(['compress', 'my model', '--overwrite', '--set', 'a.b=1', '-o', "it's"])).toBe(`pare compress 'my model' --set a.b=1 -o 'it'\\''s' --resume`);
    expect(resumeCommand(['compress', 'm', '--resume'])).toBe('pare compress m --resume');
  });
  it('leaves harmless words bare', () => {
    expect(shellQuote('owner/name-1.2')).toBe('owner/name-1.2');
    expect(shellQuote('')).toBe("''");
    expect(shellQuote('$(x)')).toBe("'$(x)'");
  });
});
