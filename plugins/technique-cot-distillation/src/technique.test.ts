import { isPareError, type Recipe } from '@pare/core';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { LocalTeacher } from '@pare/black-box-teacher';
import { huggingFaceFormat } from '@pare/format-hf';
import { openTokenizer } from '@pare/model';
import { ChatEndpoint, chatAnswer, expectNoLeaks, memoryText, promptOf, startTestHost, tinyModel } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { cotDistillation } from './index.js';

type Options = Recipe['stages'][number]['options'];

const recipe = (options: Options): Recipe => ({ version: 1, stages: [{ technique: 'cot-distillation', options: { steps: 1, batchSize: 4, warmup: 2, learningRate: 0.02, maxNewTokens: 8, ...options } }] });
const file = (items: readonly object[]) => memoryText(items.map((item) => JSON.stringify(item)).join('\n'), 'items.jsonl');
const sums = [
  { question: 'one and one', rationale: '1 + 1 = 2.', answer: '2' },
  { question: 'two and one', rationale: '2 + 1 = 3.', answer: '3' },
  { question: 'two and two', rationale: '2 + 2 = 4.', answer: '4' },
];

async function distill(options: Options, prompts = file(sums)) {
  await using folder = await tinyModel('llama');
  await using host = await startTestHost({ plugins: [cotDistillation, cpuBackend, huggingFaceFormat] });
  await using backend = await cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console });
  const output = folder.join('out');
  const result = await host.compress({ model: folder.model, recipe: recipe(options), prompts, output, formats: ['hf'], backend, seed: 3 });
  expectNoLeaks(backend);
  const say = async (asked: readonly string[]): Promise<string[]> => {
    await using model = await host.openModel(output);
    await using said = new LocalTeacher({ model, backend, tokenizer: await openTokenizer(output) });
    return (await said.answer(asked, { count: 1, temperature: 0, topP: 1, maxTokens: 24, stop: [], seed: 0 })).map(([answer]) => answer!.text);
  };
  const said = result.stages[0]!.reports[0]!.details!['steps']! > 1 ? await say(['Question: two and one\nAnswer:', 'Question: two and two\nReason:']) : [];
  return { details: result.stages[0]!.reports[0]!.details!, log: host.log, said };
}

/** An endpoint that reasons: about one sum wrongly, about another without an answer until it is asked for it. */
const reasoner = () =>
  ChatEndpoint.start(
    chatAnswer((prompt, seed) => {
      if (prompt.endsWith('\nAnswer:')) return '3';
      if (prompt.includes('one and one')) return `1 + 1 = ${seed % 2 === 0 ? '2' : '3'}.\nAnswer: ${seed % 2 === 0 ? '2' : '3'}`;
      return prompt.includes('two and one') ? '2 + 1 = 3.' : '2 + 2 = 5.\nAnswer: 5';
    }),
  );

describe('cot-distillation', () => {
  it('learns answers and the reasons of a file, each behind its own prompt', async () => {
    const { details, said } = await distill({ rationales: 'file', steps: 60, recompute: false });
    expect(details).toMatchObject({ answers: 3, reasons: 3 });
    expect(details['lastLoss']).toBeLessThan(0.1);
    expect(said).toEqual([' 3', ' 2 + 2 = 4.']);
  });

  it('keeps of a teacher\'s reasons exactly those with the right answer', async () => {
    await using endpoint = await reasoner();
    const chat = { endpoint: endpoint.address, endpointModel: 'big', answers: 2 };
    const { details, log } = await distill({ ...chat, demonstrations: 'Question: none\nReason: 0 = 0.\nAnswer: 0\n\n' });
    // Of six: one of the first question, both (equal) of the second, none of the third.
    expect(details).toMatchObject({ answers: 3, reasons: 2, wrongReasons: 3, repeatedReasons: 1, openReasons: 0 });
    expect(log).toContainEqual(expect.stringContaining('2 of 6 reasons are kept; left out: 3 wrong, 1 repeated'));
    expect(endpoint.requests.filter((request) => !promptOf(request).endsWith('\nAnswer:')).every((request) => promptOf(request).startsWith('Question: none'))).toBe(true);
    const all = await distill({ ...chat, answerFilter: false });
    expect(all.details).toMatchObject({ reasons: 4, wrongReasons: 0, repeatedReasons: 2 });
  });

  it('asks again with the answer where no reason was right', async () => {
    await using endpoint = await reasoner();
    const hinted = chatAnswer((prompt) => (prompt.startsWith('Explain 4') ? '2 + 2 = 4.\nAnswer: 4' : '?\nAnswer: 0'));
    const usual = endpoint.always;
    endpoint.always = (response, request) => {
      (promptOf(request).startsWith('Explain') ? hinted : usual)(response, request);
    };
    const { details } = await distill({ endpoint: endpoint.address, endpointModel: 'big', temperature: 0, hintPrompt: 'Explain {answer}: {question}' });
    expect(details).toMatchObject({ reasons: 2, wrongReasons: 3 });
  });

  it('takes the teacher\'s answers for labels where told to', async () => {
    await using endpoint = await reasoner();
    const { details } = await distill({ endpoint: endpoint.address, endpointModel: 'big', labels: 'teacher', answerFilter: false, method: 'mt-cot' }, file(sums.map(({ question }) => ({ question }))));
    expect(details).toMatchObject({ answers: 3, reasons: 3 });
  });

  it('leaves out empty reasons with a count, or refuses them', async () => {
    const some = [...sums.slice(0, 2), { ...sums[2]!, rationale: ' ' }];
    expect((await distill({ rationales: 'file' }, file(some))).details).toMatchObject({ answers: 3, reasons: 2, emptyReasons: 1 });
    await expect(distill({ rationales: 'file', emptyRationales: 'refuse' }, file(some))).rejects.toMatchObject({ code: 'PARE_ITEM_INVALID', data: { line: 3 } });
    await using endpoint = await ChatEndpoint.start(chatAnswer((prompt) => (prompt.includes('one and one') ? '\nAnswer: 2' : '2 + 1 = 3.\nAnswer: 3')));
    const chat = { endpoint: endpoint.address, endpointModel: 'big' };
    expect((await distill(chat)).details).toMatchObject({ emptyReasons: 1, wrongReasons: 1, reasons: 1 });
    await expect(distill({ ...chat, emptyRationales: 'refuse' })).rejects.toMatchObject({ code: 'PARE_COT_DISTILLATION_EMPTY_RATIONALE' });
  });

  it('says what is wrong before it trains', async () => {
    const problem = async (options: Options, prompts = file(sums)): Promise<string> => {
      const error: unknown = await distill(options, prompts).catch((reason: unknown) => reason);
      if (!isPareError(error)) throw error;
      return `${error.code} ${error.message} ${error.help}`;
    };
    expect(await problem({ rationales: 'file' }, file(sums.map(({ question, answer }) => ({ question, answer }))))).toMatch(/^PARE_COT_DISTILLATION_NO_RATIONALES .*items\.jsonl: 3 empty.*rationaleField/);
    expect(await problem({ rationales: 'file' }, file([{ question: 'who', rationale: 'so' }]))).toMatch(/^PARE_ITEM_INVALID items\.jsonl:1.*no "answer" text/);
    expect(await problem({ rationales: 'file' }, file([...sums, { ...sums[0], question: 'w'.repeat(200) }]))).toMatch(/^PARE_PROMPT_TOO_LONG .*line 4/);
    expect(await problem({ rationales: 'file', rationalePrompt: '{premise}' })).toMatch(/^PARE_ITEM_INVALID items\.jsonl:1.*rationalePrompt/);
    expect(await problem({ answers: 3, temperature: 0 })).toMatch(/^PARE_TARGET_REFUSED .*3 answers at temperature 0/);
    // The model itself, untrained, is no teacher.
    expect(await problem({ temperature: 0 })).toMatch(/^PARE_COT_DISTILLATION_NO_RATIONALES .*what the teacher gave: 3 (wrong|open)/);
  });
});
