import { isPareError } from '@pare/core';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { openTokenizer } from '@pare/model';
import { expectNoLeaks, openFixture, tinyModel } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import type { AnswerSettings, BlackBoxTeacher } from '../teacher.js';
import { LocalTeacher } from './local-teacher.js';

const settings: AnswerSettings = { count: 2, temperature: 1, topP: 1, maxTokens: 12, stop: [], seed: 3 };

async function withTeacher(batchSize: number, work: (teacher: BlackBoxTeacher) => Promise<void>): Promise<void> {
  await using backend = await cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console });
  await using folder = await tinyModel('llama');
  await using model = await openFixture('llama');
  {
    await using teacher = new LocalTeacher({ model, backend, tokenizer: await openTokenizer(folder.model), batchSize });
    await work(teacher);
  }
  expectNoLeaks(backend);
}

describe('LocalTeacher', () => {
  it('answers the same to the same seed, whatever is written together', async () => {
    const prompts = ['one', 'a longer prompt', 'three'];
    const runs: unknown[] = [];
    for (const batchSize of [64, 2]) {
      await withTeacher(batchSize, async (teacher) => {
        const answers = await teacher.answer(prompts, settings);
        runs.push(answers);
        expect(answers.map((each) => each.length)).toEqual([2, 2, 2]);
        expect(answers[0]![0]).not.toEqual(answers[0]![1]);
        expect(await teacher.answer(prompts, { ...settings, seed: 4 })).not.toEqual(answers);
      });
    }
    expect(runs[1]).toEqual(runs[0]);
  });

  it('answers the same when it is asked in shares', async () => {
    const prompts = ['one', 'a longer prompt', 'three'];
    await withTeacher(64, async (teacher) => {
      const whole = await teacher.answer(prompts, settings);
      expect([...(await teacher.answer(prompts.slice(0, 1), settings)), ...(await teacher.answer(prompts.slice(1), settings, { first: 1 }))]).toEqual(whole);
    });
  });

  it('ends at texts that stop it, and says which answers were cut off', async () => {
    await withTeacher(64, async (teacher) => {
      const [[whole]] = (await teacher.answer(['one'], { ...settings, count: 1, temperature: 0 })) as [[{ text: string; finished: boolean }]];
      expect(whole.finished).toBe(false);
      const stop = whole.text.slice(4, 6);
      const [[cut]] = (await teacher.answer(['one'], { ...settings, count: 1, temperature: 0, stop: [stop, 'never said'] })) as [[{ text: string; finished: boolean }]];
      expect(cut).toEqual({ text: whole.text.slice(0, whole.text.indexOf(stop)), finished: true });
    });
  });

  it('searches beams where told to', async () => {
    await withTeacher(8, async (teacher) => {
      const prompts = ['one', 'two'];
      const answers = await teacher.answer(prompts, { ...settings, count: 2, beams: 4 });
      expect(answers.map((each) => new Set(each.map(({ text }) => text)).size)).toEqual([2, 2]);
      expect(await teacher.answer(prompts, { ...settings, seed: 9, count: 2, beams: 4 })).toEqual(answers);
    });
  });

  it('counts what it will do, and names prompts that leave no room', async () => {
    await withTeacher(64, async (teacher) => {
      expect(await teacher.cost(['ab', 'c'], settings)).toMatchObject({ requests: 4, promptTokens: 6, answerTokens: 48 });
      for (const ask of [teacher.cost.bind(teacher), teacher.answer.bind(teacher)]) {
        const error: unknown = await ask(['x', `Question: ${'y '.repeat(80)}`], settings).catch((reason: unknown) => reason);
        expect(isPareError(error) && error.code).toBe('PARE_WINDOW_TOO_LONG');
        expect((error as { help: string }).help).toContain('begins "Question: y y');
      }
    });
  });
});
