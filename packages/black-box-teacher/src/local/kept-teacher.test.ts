import { pareError } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AnswerSettings, BlackBoxTeacher } from '../teacher.js';
import { KeptTeacher } from './kept-teacher.js';

const settings: AnswerSettings = { count: 2, temperature: 1, topP: 1, maxTokens: 4, stop: [], seed: 0 };
const prompts = ['a', 'b', 'c', 'd', 'e'];
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pare-kept-teacher-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** A teacher that answers with prompts and places, two prompts at a time; it stops before the prompt `stopAt`. */
function keptTeacher(asked: string[], stopAt?: string): KeptTeacher {
  const teacher: BlackBoxTeacher = {
    name: 'echo',
    cost: () => Promise.resolve({ requests: 0, kept: 0, promptTokens: 0, answerTokens: 0, price: undefined }),
    answer(some, { count }, { first = 0, onProgress } = {}) {
      if (stopAt !== undefined && some.includes(stopAt)) return Promise.reject(pareError('PARE_ABORTED', { what: 'answering' }));
      asked.push(...some);
      onProgress?.(1, some.length);
      return Promise.resolve(some.map((prompt, index) => Array.from({ length: count }, (_, answer) => ({ text: `${prompt} ${String(first + index)} ${String(answer)}`, finished: true }))));
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  return new KeptTeacher({ teacher, identity: 'echo', share: 5, release: () => Promise.resolve(), files: defaultFiles, folder, warn: expect.unreachable });
}

it('takes up the answers that were written before it was stopped', async () => {
  const [before, after]: [string[], string[]] = [[], []];
  await expect(keptTeacher(before, 'e').answer(prompts, settings)).rejects.toMatchObject({ code: 'PARE_ABORTED' });
  expect(before).toEqual(['a', 'b', 'c', 'd']);
  const progress: number[] = [];
  const answers = await keptTeacher(after).answer(prompts, settings, { onProgress: (completed) => progress.push(completed) });
  expect(after).toEqual(['e']);
  expect(progress).toEqual([5]);
  expect(answers.map(([first, second]) => [first!.text, second!.text])).toEqual(prompts.map((prompt, place) => [0, 1].map((answer) => `${prompt} ${String(place)} ${String(answer)}`)));
});
