import { defaultFiles } from '@pare/platform';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EvaluationCache, portionsOf, type CacheInputs } from './index.js';

let folder: string;
let warnings: string[];
let cache: EvaluationCache;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pare-cache-'));
  warnings = [];
  cache = new EvaluationCache(defaultFiles, folder, (message) => warnings.push(message));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const inputs: CacheInputs = {
  evaluator: { id: 'perplexity', code: '@pare/evaluator-perplexity 0.1.0', options: { samples: 4, bos: false } },
  model: 'aa',
  original: undefined,
  data: 'bb',
  computedBy: 'cpu 0.1.0',
  seed: 7,
};
const result = { metrics: { perplexity: 12.5, broken: Infinity }, details: { list: [Number.NaN, -0, 1 / 3], text: 'a\nb' }, seconds: 1.25 };
const fileOf = (key: string): string => join(folder, 'results', key.slice(0, 2), `${key.slice(2)}.json`);

describe('EvaluationCache', () => {
  it('gives back what was written, numbers of all kinds exactly', async () => {
    const key = cache.key(inputs);
    expect(await cache.read(key)).toBeUndefined();
    await cache.write(key, result);
    expect(await cache.read(key)).toEqual(result);
    expect((await cache.read(key))!.details!['list']).toEqual([Number.NaN, -0, 1 / 3]);
    expect((await readdir(join(folder, 'results', key.slice(0, 2)))).length).toBe(1);
    expect(warnings).toEqual([]);
  });

  it('has another key for everything that a result follows from, and the same whatever the order of options', () => {
    const changed: CacheInputs[] = [
      { ...inputs, evaluator: { ...inputs.evaluator, id: 'divergence' } },
      { ...inputs, evaluator: { ...inputs.evaluator, code: '@pare/evaluator-perplexity 0.2.0' } },
      { ...inputs, evaluator: { ...inputs.evaluator, options: { samples: 5, bos: false } } },
      { ...inputs, model: 'ab' },
      { ...inputs, original: 'aa' },
      { ...inputs, data: 'bc' },
      { ...inputs, computedBy: 'reference 0.1.0' },
      { ...inputs, seed: 8 },
    ];
    expect(new Set([inputs, ...changed].map((entry) => cache.key(entry))).size).toBe(changed.length + 1);
    expect(cache.key({ ...inputs, evaluator: { ...inputs.evaluator, options: { bos: false, samples: 4 } } })).toBe(cache.key(inputs));
  });

  it.each([
    ['cut off', (text: string) => text.slice(0, -9)],
    ['changed', (text: string) => text.replace('12.5', '12.4')],
    ['empty', () => ''],
    ['no JSON', () => 'results\n'],
    ['of another key', (text: string) => text.replace(/"key":"../, '"key":"zz')],
  ])('ignores an entry that is %s, with a warning, and replaces it', async (_, spoil) => {
    const key = cache.key(inputs);
    await cache.write(key, result);
    await writeFile(fileOf(key), spoil(await readFile(fileOf(key), 'utf8')));
    expect(await cache.read(key)).toBeUndefined();
    expect(warnings).toEqual([expect.stringMatching(/is damaged and ignored .* measured again/)]);
    await cache.write(key, result);
    expect(await cache.read(key)).toEqual(result);
  });

  it('leaves entries of a later version alone, without a word', async () => {
    const key = cache.key(inputs);
    await cache.write(key, result);
    await writeFile(fileOf(key), (await readFile(fileOf(key), 'utf8')).replace('"pareEvaluation":1', '"pareEvaluation":2'));
    expect(await cache.read(key)).toBeUndefined();
    expect(warnings).toEqual([]);
  });

  it('does without a folder that it cannot write to', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    const broken = new EvaluationCache(defaultFiles, file, (message) => warnings.push(message));
    await broken.write(broken.key(inputs), result);
    const journal = await broken.journal('k', true);
    expect(await journal.piece('a', () => Promise.resolve(3))).toBe(3);
    await journal.remove();
    expect(warnings).toEqual([expect.stringContaining('could not be kept'), expect.stringContaining('progress cannot be kept')]);
  });
});

describe('ProgressJournal', () => {
  const piece = (value: unknown) => () => Promise.resolve(value);
  const never = (): Promise<never> => Promise.reject(new Error('computed again'));

  it('keeps pieces for a run that goes on, and forgets them for one that does not', async () => {
    const first = await cache.journal('k', false);
    const values = [0.1 + 0.2, Number.NaN, -Infinity, -0];
    expect(await first.piece('0-3', piece(values))).toEqual(values);
    await first.piece('a "quoted" name', piece({ deep: [1] }));

    const second = await cache.journal('k', true);
    expect(await second.piece('0-3', never)).toEqual(values);
    expect(await second.piece('a "quoted" name', never)).toEqual({ deep: [1] });
    expect(await second.piece('4-7', piece(5))).toBe(5);
    expect(second.restored).toBe(2);

    const third = await cache.journal('k', false);
    expect(await third.piece('0-3', piece('anew'))).toBe('anew');
    await third.remove();
    expect(await readdir(join(folder, 'progress'))).toEqual([]);
  });

  it.each([
    ['cut off', (text: string) => text.slice(0, -2)],
    ['changed', (text: string) => text.replace('"', '" ')],
    ['empty', () => ''],
  ])('computes a piece anew whose file is %s', async (_, spoil) => {
    const first = await cache.journal('k', false);
    for (const name of ['a', 'ü']) await first.piece(name, piece(name));
    const [file] = await readdir(join(folder, 'progress', 'k'));
    await writeFile(join(folder, 'progress', 'k', file!), spoil(await readFile(join(folder, 'progress', 'k', file!), 'utf8')));
    const second = await cache.journal('k', true);
    expect([await second.piece('a', piece('a')), await second.piece('ü', piece('ü'))]).toEqual(['a', 'ü']);
    expect(second.restored).toBe(1);
    const third = await cache.journal('k', true);
    expect([await third.piece('a', never), await third.piece('ü', never)]).toEqual(['a', 'ü']);
  });

  it('throws away journals that nobody continued for a month', async () => {
    await cache.journal('old', false);
    const past = new Date(Date.now() - 31 * 86_400_000);
    await utimes(join(folder, 'progress', 'old'), past, past);
    await cache.journal('new', false);
    expect(await readdir(join(folder, 'progress'))).toEqual(['new']);
  });
});

describe('portionsOf', () => {
  it('cuts by tokens alone, at least one item each', () => {
    const portions = portionsOf([5, 3, 20, 4, 4, 4], (tokens) => tokens, 8);
    expect(portions.map(({ name, items, first }) => [name, items, first])).toEqual([
      ['0-1', [5, 3], 0],
      ['2-2', [20], 2],
      ['3-4', [4, 4], 3],
      ['5-5', [4], 5],
    ]);
    expect(portionsOf([], () => 1)).toEqual([]);
  });
});
