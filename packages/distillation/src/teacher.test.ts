import { describe, expect, it } from 'vitest';
import { isPareError, type Model } from '@pare/core';
import { openFixture, tinyModel, type FixtureName } from '@pare/testkit';
import { openTeacher, requireSameTokens } from './teacher.js';

async function problem(teacher: Model, student: Model): Promise<{ readonly code: string; readonly message: string; readonly help: string } | undefined> {
  try {
    await requireSameTokens(teacher, student);
    return undefined;
  } catch (error) {
    if (isPareError(error)) return error;
    throw error;
  }
}

/** The model with another tokenizer.json, or none. */
function withTokenizer(model: Model, directory: string, tokenizer: string | undefined): Model {
  const { files } = model;
  const other = {
    ...files,
    path: files.path,
    status: (path: string) => (path.startsWith(directory) ? Promise.resolve(tokenizer === undefined ? undefined : { bytes: tokenizer.length, modified: 0, folder: false }) : files.status(path)),
    list: () => Promise.resolve([{ name: 'tokenizer.json', folder: false }]),
    readText: (path: string) => (path.endsWith('tokenizer.json') ? Promise.resolve(tokenizer ?? '') : Promise.reject(Object.assign(new Error('absent'), { code: 'ENOENT' }))),
  };
  return Object.create(model, { directory: { value: directory }, files: { value: other } }) as Model;
}

describe('requireSameTokens', () => {
  const fixture: FixtureName = 'llama';
  const json = (vocab: unknown): string => JSON.stringify({ model: { vocab } });

  it('passes the model itself, the same tokens, and folders without a tokenizer', async () => {
    await using model = await openFixture(fixture);
    expect(await problem(model, model)).toBeUndefined();
    const [left, right] = [withTokenizer(model, '/left', json({ a: 0, b: 1 })), withTokenizer(model, '/right', json([['a', -1], ['b', -2]]))];
    expect(await problem(left, right)).toBeUndefined();
    expect(await problem(left, withTokenizer(model, '/right', undefined))).toBeUndefined();
  });

  it('names the token that differs and techniques that do without', async () => {
    await using model = await openFixture(fixture);
    const found = await problem(withTokenizer(model, '/left', json({ a: 0, b: 1 })), withTokenizer(model, '/right', json({ a: 0, c: 1 })));
    expect(found).toMatchObject({ code: 'PARE_VOCABULARY_MISMATCH', message: 'token 1 is "c" to llama and "b" to the teacher llama' });
    expect(found?.help).toContain('distill-sequence, cot-distillation');
  });

  it('names the sizes of vocabularies that differ', async () => {
    await using model = await openFixture(fixture);
    const larger = Object.create(model, { description: { value: { ...model.description, vocabularySize: 200 } } }) as Model;
    const found = await problem(larger, model);
    expect(found).toMatchObject({ code: 'PARE_VOCABULARY_MISMATCH', message: 'llama predicts 160 tokens, the teacher llama 200' });
    expect(found?.help).toContain('distill-sequence');
  });

  it('says which tokenizer is none', async () => {
    await using model = await openFixture(fixture);
    expect(await problem(withTokenizer(model, '/left', '{'), withTokenizer(model, '/right', json({})))).toMatchObject({ code: 'PARE_TOKENIZER_INVALID' });
  });
});

describe('openTeacher', () => {
  it('leaves the model before the recipe open and closes one that it opened', async () => {
    await using folder = await tinyModel('llama');
    await using original = await openFixture('llama');
    let closed = 0;
    const opened = Object.create(original, { name: { value: folder.model }, [Symbol.asyncDispose]: { value: () => Promise.resolve(void closed++) } }) as Model;
    const context = { original, signal: new AbortController().signal, services: { models: { open: () => Promise.resolve(opened) } } };
    {
      await using teacher = await openTeacher(context, undefined);
      expect(teacher.model).toBe(original);
    }
    expect(closed).toBe(0);
    {
      await using teacher = await openTeacher(context, './teacher');
      expect(teacher.model).toBe(opened);
    }
    expect(closed).toBe(1);
  });
});
