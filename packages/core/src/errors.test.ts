import { describe, expect, it } from 'vitest';
import { errorCatalogue, isPareError, nearest, pareError, pluginError, throwIfAborted } from './errors.js';

describe('the error catalogue', () => {
  it('is sorted, so that a code is found by eye', () => {
    const codes = Object.keys(errorCatalogue);
    expect(codes).toEqual([...codes].sort());
  });

  it('makes message and help from the data', () => {
    const error = pareError('PARE_CALIBRATION_TOO_SHORT', { file: 'a.txt', found: 1000, needed: 2048, samples: 4, length: 512 });
    expect(error.message).toBe('a.txt has 1000 tokens; 4 windows of 512 need 2048');
    expect(error.help).toContain('at most 1 windows');
    expect(error.data).toMatchObject({ found: 1000 });
  });

  it('recognises errors of another copy of the package by their tag', () => {
    expect(isPareError(pareError('PARE_TENSOR_UNKNOWN', { tensor: 'x', model: 'm' }))).toBe(true);
    expect(isPareError({ $$type: '@pare/error' })).toBe(true);
    expect(isPareError(new Error('no'))).toBe(false);
  });

  it('lets plugins bring their own codes', () => {
    expect(pluginError({ code: 'PARE_MINE_BROKEN', message: 'm', help: 'h' })).toMatchObject({ code: 'PARE_MINE_BROKEN', help: 'h' });
  });

  it('turns a fired signal into PARE_ABORTED', () => {
    expect(() => {
      throwIfAborted(AbortSignal.abort('why'), 'compression');
    }).toThrowError(expect.objectContaining({ code: 'PARE_ABORTED', cause: 'why' }) as Error);
    expect(() => {
      throwIfAborted(undefined, 'compression');
    }).not.toThrow();
  });
});

describe('nearest', () => {
  const words = ['gptq', 'rtn', 'awq', 'smoothquant', 'sparsegpt'];
  it.each([
    ['gtpq', 'gptq'],
    ['GPTQ', 'gptq'],
    ['smothquant', 'smoothquant'],
    ['sparse-gpt', 'sparsegpt'],
    ['completely different', undefined],
  ])('%s → %s', (typed, meant) => {
    expect(nearest(typed, words)).toBe(meant);
  });
});
