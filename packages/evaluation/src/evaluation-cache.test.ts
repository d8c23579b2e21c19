import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultCacheFolder, EvaluationCache, portionsOf, type CacheInputs } from './index.js';

let folder: string;
let warnings: string[];
let cache: EvaluationCache;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pare-cache-'));
  warnings = [];
  cache = new EvaluationCache(folder, (message) => warnings.push(message));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const inputs: CacheInputs = {
  evaluator: { id: 'perplexity', version: '@pare/evaluator-perplexity 0.1.0', options: { samples: 4, bos: false } },
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
      { ...inputs, evaluator: { ...inputs.evaluator, version: '@pare/evaluator-perplexity 0.2.0' } },
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
    const broken = new EvaluationCache(file, (message) => warnings.push(message));
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
    await first.close();

    const second = await cache.journal('k', true);
    expect(await second.piece('0-3', never)).toEqual(values);
    expect(await second.piece('a "quoted" name', never)).toEqual({ deep: [1] });
    expect(await second.piece('4-7', piece(5))).toBe(5);
    expect(second.restored).toBe(2);
    await second.close();

    const third = await cache.journal('k', false);
    expect(await third.piece('0-3', piece('anew'))).toBe('anew');
    await third.remove();
    expect(await readdir(join(folder, 'progress'))).toEqual([]);
  });

  it('drops a line that was cut off, and goes on behind the whole ones', async () => {
    const first = await cache.journal('k', false);
    for (const name of ['a', 'ü', 'c']) await first.piece(name, piece(name));
    await first.close();
    const file = join(folder, 'progress', 'k.jsonl');
    await writeFile(file, (await readFile(file)).subarray(0, -5));
    const second = await cache.journal('k', true);
    expect([await second.piece('ü', never), await second.piece('c', piece('again'))]).toEqual(['ü', 'again']);
    await second.close();
    const third = await cache.journal('k', true);
    expect([await third.piece('a', never), await third.piece('ü', never), await third.piece('c', never)]).toEqual(['a', 'ü', 'again']);
    await third.close();
  });

  it('throws away journals that nobody continued for a month', async () => {
    await (await cache.journal('old', false)).close();
    const past = new Date(Date.now() - 31 * 86_400_000);
    await utimes(join(folder, 'progress', 'old.jsonl'), past, past);
    await (await cache.journal('new', false)).close();
    expect(await readdir(join(folder, 'progress'))).toEqual(['new.jsonl']);
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

describe('defaultCacheFolder', () => {
  it.each([
    [{ PARE_CACHE: '/c', XDG_CACHE_HOME: '/x' }, 'linux', '/c'],
    [{ XDG_CACHE_HOME: '/x' }, 'linux', '/x/pare'],
    [{ XDG_CACHE_HOME: '/x', LOCALAPPDATA: '/l' }, 'linux', '/x/pare'],
    [{ LOCALAPPDATA: '/l' }, 'win32', '/l/pare'],
  ])('of %j on %s is %s', (environment, platform, expected) => {
    expect(defaultCacheFolder(environment, platform)).toBe(expected);
  });

  it('is in the home folder otherwise, also for a relative XDG_CACHE_HOME', () => {
    expect(defaultCacheFolder({}, 'linux')).toMatch(/\.cache\/pare$/);
    expect(defaultCacheFolder({ XDG_CACHE_HOME: 'here' }, 'linux')).toMatch(/\.cache\/pare$/);
  });
});
