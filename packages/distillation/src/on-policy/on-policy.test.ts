import { float32Tensor, hostTensor, type Backend } from '@pare/core';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { DecoderGradients, logitsOnly } from '@pare/training';
import { memoryText, expectNoLeaks, openFixture } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type TrainingContext } from '../context.js';
import { Student } from '../student.js';
import { samplingOptions, type SamplingTechniqueOptions } from './options.js';
import { promptTexts } from './prompt-texts.js';
import { responseBatches, responseRows } from './response-rows.js';
import { StudentGenerator } from './student-generator.js';

const text = (prompt: number, response: number) => ({ prompt: new Int32Array(prompt).fill(7), response: Int32Array.from({ length: response }, (_, index) => 10 + index) });

describe('response rows', () => {
  it('hold texts of similar length, with responses alone to be predicted', () => {
    const [short, long] = responseRows([text(20, 9), text(3, 2), text(5, 1)], 2, 128);
    expect([short!.length, short!.texts.length, long!.length]).toEqual([16, 2, 32]);
    expect([...(short!.ids.data as BigInt64Array).subarray(16, 22)].map(Number)).toEqual([7, 7, 7, 7, 7, 10]);
  });

  it('stay within the positions of the model, all tokens of responses predicted', () => {
    const [batch] = responseBatches([text(3, 18)], { microBatch: 1, average: 'tokens', positions: 20 });
    expect(batch!.ids.shape).toEqual([1, 20]);
    expect([...(batch!.inputs['targets'] as { data: BigInt64Array }).data].slice(2).map(Number)).toEqual([...text(3, 18).response]);
  });

  it('count each response the same, or each token', () => {
    const weights = (average: 'responses' | 'tokens'): number[][] =>
      responseBatches([text(3, 2), text(2, 4)], { microBatch: 1, average, positions: 128 }).map(({ inputs }) => [...(inputs['weights'] as { data: Float32Array }).data].filter((weight) => weight > 0));
    expect(weights('responses')).toEqual([[0.25, 0.25], [0.125, 0.125, 0.125, 0.125]]);
    expect(weights('tokens').flat()).toEqual(new Array(6).fill(Math.fround(1 / 6)));
    const [batch] = responseBatches([text(3, 2)], { microBatch: 1, average: 'tokens', positions: 128 });
    expect([...(batch!.inputs['targets'] as { data: BigInt64Array }).data].slice(2, 4).map(Number)).toEqual([10, 11]);
  });
});

describe('promptTexts', () => {
  const options = (given: Partial<SamplingTechniqueOptions>): SamplingTechniqueOptions => ({ ...z.strictObject(samplingOptions).parse({}), ...given });
  type Given = Parameters<typeof promptTexts>[0];
  const context = (given: Partial<Given>): Given => ({
    prompts: undefined,
    windows: [Int32Array.from({ length: 10 }, (_, index) => index)],
    model: { description: { maxPositions: 12 } } as Given['model'],
    tokenizer: () => Promise.reject(new Error('not needed')),
    ...given,
  });
  const problem = async (given: Partial<Given>, settings: Partial<SamplingTechniqueOptions>): Promise<unknown> => {
    try {
      return await promptTexts(context(given), options(settings), 'gkd', 'required');
    } catch (error) {
      return error;
    }
  };

  it('cuts windows of a text into prompts and what follows', async () => {
    const { texts, stopTokens } = await promptTexts(context({}), options({ promptTokens: 4, maxNewTokens: 3 }), 'gkd', 'required');
    expect(texts.map(({ prompt, response }) => [[...prompt], [...response!]])).toEqual([[[0, 1, 2, 3], [4, 5, 6]]]);
    expect(stopTokens).toEqual([]);
    expect(await problem({}, { promptTokens: 10 })).toMatchObject({ code: 'PARE_OPTIONS_INVALID', message: expect.stringContaining('promptTokens is 10 and a window has 10 tokens') as string });
    expect(await problem({}, { promptTokens: 5, maxNewTokens: 9 })).toMatchObject({ code: 'PARE_WINDOW_TOO_LONG', data: { length: 13, positions: 12 } });
  });

  it('reads items, which end', async () => {
    const tokenizer = () => Promise.resolve({ vocabularySize: 99, bosToken: 1, eosToken: 2, encode: (words: string) => Int32Array.from(words.split(' ').filter(Boolean), Number), decode: () => '' });
    const prompts = memoryText(JSON.stringify({ question: '5 6', answer: '7' }), 'items');
    const given = { promptTemplate: '{question}', maxNewTokens: 3 };
    expect(await promptTexts(context({ prompts, tokenizer }), options(given), 'gkd', 'required')).toMatchObject({ texts: [{ prompt: Int32Array.of(5, 6), response: Int32Array.of(7, 2) }], stopTokens: [2] });
    expect(await problem({ prompts, tokenizer }, { ...given, maxNewTokens: 20 })).toMatchObject({ code: 'PARE_PROMPT_TOO_LONG', data: { line: 1, tokens: 2, response: 20, positions: 12 } });
  });
});

describe('a student that writes', () => {
  it('does so with the parameters that it has at the time, adapters included', async () => {
    await using backend: Backend = await cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console });
    await using model = await openFixture('llama-tied-rope-scaled');
    const prompt = Int32Array.of(3, 50, 20);
    for (const loraRank of [0, 2]) {
      const modules = model.modules.filter(({ role }) => role === 'mlp.up').map((info) => ({ info }));
      const context = { backend, model, modules, parameters: [], seed: 1, signal: new AbortController().signal } as unknown as TrainingContext;
      using student = await Student.load(context, { loraRank, loraAlpha: 4 });
      await using decoder = new DecoderGradients({ backend, segments: student.segments(logitsOnly), parameters: student.parameters, trainable: new Set(), recompute: true });
      await using writer = await StudentGenerator.create(context, student);
      const changed = [...student.parameters].find(([name]) => (loraRank === 0 ? name.endsWith('up_proj.weight') : name.endsWith('lora_B')))!;
      const next: Float32Array[] = [];
      for (const scale of [0, 1]) {
        const [name, { shape }] = changed;
        student.parameters.get(name)![Symbol.dispose]();
        student.parameters.set(name, backend.write(float32Tensor(shape, Float32Array.from({ length: shape[0]! * shape[1]! }, (_, index) => scale * Math.sin(index)))));
        using drawing = (await writer.current()).begin([prompt], 1);
        const [logits] = await drawing.first();
        const { logits: whole } = await decoder.outputs({ ids: hostTensor('int64', [1, 3], BigInt64Array.from(prompt, BigInt)), inputs: {} });
        using tensor = whole!;
        const expected = ((await backend.read(tensor)).data as Float32Array).subarray(-logits!.length);
        for (const [id, value] of expected.entries()) expect(logits![id]).toBeCloseTo(value, 3);
        next.push(logits!.slice());
      }
      expect(next[0]).not.toEqual(next[1]);
    }
    expectNoLeaks(backend);
  });
});
