import type { Recipe } from '@pare/core';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { huggingFaceFormat } from '@pare/format-hf';
import { LocalTeacher } from '@pare/black-box-teacher';
import { openTokenizer } from '@pare/model';
import { chatAnswer, ChatEndpoint, expectNoLeaks, failure, memoryText, startTestHost, tinyModel, writeSyntheticLlama } from '@pare/testkit';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { distillSequence } from './index.js';

type Options = Recipe['stages'][number]['options'];

const recipe = (options: Options): Recipe => ({ version: 1, stages: [{ technique: 'distill-sequence', options: { steps: 25, batchSize: 4, warmup: 2, learningRate: 0.02, maxNewTokens: 6, ...options } }] });
const questions = ['who', 'what', 'when', 'where'];
const file = (items: readonly object[]) => memoryText(items.map((item) => JSON.stringify(item)).join('\n'), 'items.jsonl');
const labelled = file(questions.map((question, index) => ({ question, answer: ['ants', 'bees', 'cats', 'dogs'][index] })));
const prompt = (question: string): string => `Question: ${question}\nAnswer:`;

/** Distils into the fixture `llama`; returns what was reported, and what the model then says to the questions. */
async function distill(options: Options | ((folder: string) => Promise<Options>), prompts = labelled) {
  await using folder = await tinyModel('llama');
  await using host = await startTestHost({ plugins: [distillSequence, cpuBackend, huggingFaceFormat] });
  await using backend = await cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console });
  const output = folder.join('out');
  const given = typeof options === 'function' ? await options(folder.path) : options;
  const result = await host.compress({ model: folder.model, recipe: recipe(given), prompts, output, formats: ['hf'], backend, seed: 3 });
  await using model = await host.openModel(output);
  await using said = new LocalTeacher({ model, backend, tokenizer: await openTokenizer(output) });
  const answers = await said.answer(questions.map(prompt), { count: 1, temperature: 0, topP: 1, maxTokens: 6, stop: [], seed: 0 });
  return { details: result.stages[0]!.reports[0]!.details!, log: host.log, said: answers.map(([answer]) => answer!), backend };
}

describe('distill-sequence', () => {
  it('learns the answers of a file by heart, with their end', async () => {
    const { details, said } = await distill({ source: 'file', steps: 40 });
    expect(details['lastLoss']).toBeLessThan(0.1);
    expect(said).toEqual(['ants', 'bees', 'cats', 'dogs'].map((text) => ({ text: ` ${text}`, finished: true })));
  });

  it('learns what a teacher of other tokens writes, the same for the same seed', async () => {
    const other = async (folder: string): Promise<Options> => {
      const teacher = join(folder, 'teacher');
      await writeSyntheticLlama(teacher, { layers: 1, vocabulary: 128 });
      return { teacher, beams: 2, unfinished: 'keep' };
    };
    const { details, said, log } = await distill(other);
    expect(log.join('\n')).toMatch(/teacher is asked for answers: 4 requests, about \d+ tokens of prompts, at most 24 of answers/);
    expect(details).toMatchObject({ answers: 4, labels: 0 });
    expect(details['lastLoss']).toBeLessThan(0.3 * details['firstLoss']!);
    const again = await distill(other);
    expect(again.details).toEqual(details);
    expect(again.said).toEqual(said);
  });

  it('asks an endpoint, and mixes in the file\'s answers', async () => {
    await using endpoint = await ChatEndpoint.start(chatAnswer((asked, seed) => `${asked.includes('wh') ? 'ox' : ''} ${String(seed)}`));
    const { details, log } = await distill(async (folder) => ({ endpoint: endpoint.address, endpointModel: 'big', answerFolder: join(folder, 'answers'), answers: 2, labelShare: 0.5, steps: 2 }));
    expect(endpoint.requests).toHaveLength(8);
    expect(details).toMatchObject({ answers: 8, labels: 4, empty: 0 });
    expect(log.join('\n')).toMatch(/big at http:\S+ is asked for answers: 8 requests/);
  });

  it('counts empty answers, or refuses them', async () => {
    await using endpoint = await ChatEndpoint.start(chatAnswer((asked) => (asked.includes('who') ? '' : 'yes')));
    const options: Options = { endpoint: endpoint.address, endpointModel: 'big', steps: 1, retries: 0 };
    const { details, log } = await distill(options);
    expect(details).toMatchObject({ answers: 3, empty: 1 });
    expect(log).toContainEqual(expect.stringContaining('left out: 1 empty'));
    expect(log).toContainEqual(expect.stringMatching(/warn .*answers of big .* are kept nowhere/));
    await expect(distill({ ...options, emptyAnswers: 'refuse' })).rejects.toMatchObject({ code: 'PARE_TEACHER_NONSENSE' });
  });

  it('says what is wrong before it asks or trains', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [distillSequence] });
    const run = async (options: Options, prompts: typeof labelled | undefined = labelled): Promise<string> => {
      const { code, message, help } = await failure(host.compress({ model: folder.model, recipe: recipe({ steps: 1, ...options }), prompts, output: folder.join('out'), formats: ['dump'] }));
      return `${code} ${message} ${help}`;
    };
    await expect(host.compress({ model: folder.model, recipe: recipe({}), output: folder.join('out'), formats: ['dump'] })).rejects.toMatchObject({ code: 'PARE_PROMPTS_MISSING' });
    const chat = { endpoint: 'http://127.0.0.1:9/v1', endpointModel: 'big' };
    expect(await run({ endpoint: chat.endpoint })).toMatch(/^PARE_TARGET_REFUSED .*endpoint needs endpointModel/);
    expect(await run({ ...chat, answers: 2, temperature: 0 })).toMatch(/^PARE_TARGET_REFUSED .*2 answers at temperature 0/);
    expect(await run({ ...chat, beams: 5 })).toMatch(/^PARE_TARGET_REFUSED .*an endpoint searches no beams/);
    expect(await run({ ...chat, keyVariable: 'PARE_TEST_NO_SUCH_KEY' })).toMatch(/^PARE_TEACHER_KEY_MISSING .*PARE_TEST_NO_SUCH_KEY/);
    expect(await run({ source: 'file' }, file([{ question: 'who' }]))).toMatch(/^PARE_ITEM_INVALID items.jsonl:1/);
    expect(await run({}, file([{ question: 'who' }, { question: 'w'.repeat(200) }]))).toMatch(/^PARE_PROMPT_TOO_LONG .*line 2/);
    expect(await run({ maxNewTokens: 1, temperature: 0 })).toMatch(/^PARE_DISTILL_SEQUENCE_NO_ANSWERS .*4 unfinished.*unfinished: keep/);
  });

  it('asks a teacher at hand once, also when a run goes on', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [distillSequence, cpuBackend] });
    await using backend = await cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console });
    const request = { model: folder.model, recipe: recipe({ steps: 3, unfinished: 'keep' }), prompts: labelled, formats: ['dump'], backend };
    const stop = new AbortController();
    host.events.on('progress', ({ unit, completed }) => {
      if (unit === 'steps' && completed === 1) stop.abort();
    });
    await expect(host.compress({ ...request, output: folder.join('out'), signal: stop.signal })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    const asked = host.recorded.length;
    const resumed = await host.compress({ ...request, output: folder.join('out'), resume: true });
    expect(host.recorded.slice(asked).filter(({ event, data }) => event === 'progress' && 'unit' in data && data.unit === 'answers')).toEqual([]);
    const whole = await host.compress({ ...request, output: folder.join('other') });
    expect(resumed.stages[0]!.reports[0]!.details).toEqual(whole.stages[0]!.reports[0]!.details);
  });

  it('leaves nothing on the device', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [distillSequence, cpuBackend] });
    await using backend = await cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console });
    await host.compress({ model: folder.model, recipe: recipe({ steps: 1, unfinished: 'keep' }), prompts: labelled, output: folder.join('out'), formats: ['dump'], backend });
    expectNoLeaks(backend);
  });
});
