import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { applySetting, describeOptions, parseOptions, parseSetting } from './options.js';
import { optionsJsonSchema } from '@pare/core';

const schema = z.strictObject({
  bits: z.int().min(2).max(8).default(4),
  damping: z.number().positive().default(0.01),
  symmetric: z.boolean().default(true),
  clip: z.enum(['minmax', 'mse']).default('minmax'),
  pattern: z.union([z.literal('unstructured'), z.string().regex(/^\d:\d$/)]).default('unstructured'),
  size: z.union([z.int(), z.literal('auto')]).default('auto'),
  names: z.array(z.string()).default([]),
  inner: z.strictObject({ depth: z.int().default(1) }).default({ depth: 1 }),
  limit: z.number().nullable().default(null),
});

const set = (text: string, options: Record<string, unknown> = {}): unknown => applySetting(parseSetting(text), schema, options);

describe('parseOptions', () => {
  it('fills in defaults', async () => {
    expect(await parseOptions('x', schema, { bits: 3 })).toMatchObject({ bits: 3, damping: 0.01, symmetric: true });
  });

  it('suggests the nearest name for each misspelt option', async () => {
    const error = await parseOptions('technique "gptq"', schema, { bit: 3, simmetric: false, inner: { dept: 1 }, zzzzzzzz: 1 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'PARE_OPTIONS_INVALID',
      message:
        'options of technique "gptq": unknown option "bit", did you mean "bits"?; unknown option "simmetric", did you mean "symmetric"?; ' +
        'unknown option "inner.dept", did you mean "depth"?; unknown option "zzzzzzzz"',
    });
  });

  it('shows what was found, and what is allowed', async () => {
    const error = (await parseOptions('x', schema, { bits: 17, clip: 'max', names: ['a', 2] }).catch((thrown: unknown) => thrown)) as { message: string; help: string };
    expect(error.message).toContain('bits: Too big');
    expect(error.message).toContain('(found 17)');
    expect(error.message).toContain('(found "max")');
    expect(error.message).toContain('names[1]');
    expect(error.help).toContain('bits (integer 2 to 8, default 4)');
    expect(error.help).toContain('clip ("minmax" | "mse", default "minmax")');
  });
});

describe('settings', () => {
  it('are read as the type of their option', () => {
    expect(set('x.bits=3')).toEqual({ bits: 3 });
    expect(set('x.damping=1e-3')).toEqual({ damping: 0.001 });
    expect(set('x.symmetric=false')).toEqual({ symmetric: false });
    expect(set('x.clip=mse')).toEqual({ clip: 'mse' });
    expect(set('x.pattern=2:4')).toEqual({ pattern: '2:4' });
    expect(set('x.size=12')).toEqual({ size: 12 });
    expect(set('x.size=auto')).toEqual({ size: 'auto' });
    expect(set('x.names=a, b')).toEqual({ names: ['a', 'b'] });
    expect(set('x.names=["a,b"]')).toEqual({ names: ['a,b'] });
    expect(set('x.limit=null')).toEqual({ limit: null });
    expect(set('x.inner.depth=3', { bits: 2, inner: { depth: 2 } })).toEqual({ bits: 2, inner: { depth: 3 } });
  });

  it('keep the other options', () => {
    expect(set('x.bits=3', { bits: 8, damping: 1 })).toEqual({ bits: 3, damping: 1 });
  });

  it.each([
    ['x.bits=three', '"three" is not a value of bits'],
    ['x.bits=3.5', '"3.5" is not a value of bits'],
    ['x.bits=', '"" is not a value of bits'],
    ['x.symmetric=yes', '"yes" is not a value of symmetric'],
    ['x.clip=min', '"min" is not a value of clip'],
    ['x.bis=3', 'x has no option "bis"'],
    ['x.inner.deep=3', 'x has no option "inner.deep"'],
    ['bits=3', 'this is not technique.option=value'],
    ['x.bits', 'this is not technique.option=value'],
  ])('refuse %s', (text, problem) => {
    expect(() => set(text)).toThrow(problem);
  });

  it('suggest the nearest option', () => {
    expect(() => set('x.bis=3')).toThrowError(expect.objectContaining({ help: expect.stringContaining('Did you mean "bits"?') as string }) as Error);
  });

  it('may name one of several stages', () => {
    expect(parseSetting('gptq[1].bits=3')).toMatchObject({ owner: 'gptq', index: 1, path: ['bits'], value: '3' });
    expect(parseSetting('llm-int8.bits=3').owner).toBe('llm-int8');
  });
});

describe('describeOptions', () => {
  it('lists types and defaults', () => {
    expect(describeOptions(optionsJsonSchema(z.strictObject({ n: z.int().min(1), flag: z.boolean().default(false) })))).toBe('Options: n (integer from 1), flag (boolean, default false).');
    expect(describeOptions(optionsJsonSchema(z.strictObject({})))).toBe('It has no options.');
  });
});
