import type { Recipe } from '@pare/core';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { huggingFaceFormat } from '@pare/format-hf';
import { openTokenizer } from '@pare/model';
import { expectNoLeaks, failure, fixtures, folderHashes, memoryText, modelLogits, sampleText, startTestHost, temporaryDirectory, tinyModel, writeSyntheticLlama } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { gkd, gkdOptions, type GkdOptions } from './index.js';
import { ResponseSource } from './responses.js';
import { gkdLoss } from './technique.js';

const items = Array.from({ length: 6 }, (_, index) => JSON.stringify({ question: `is it ${String(index)}`, answer: 'the one' })).join('\n');
const prompts = memoryText(items, 'items.jsonl');
type Options = Recipe['stages'][number]['options'];
const recipe = (options: Options): Recipe => ({ version: 1, stages: [{ technique: 'gkd', options: { batchSize: 6, maxNewTokens: 6, warmup: 2, learningRate: 0.01, ...options } }] });
const teacher = fixtures.model('llama');

async function distill(options: Options, request: { prompts?: typeof prompts; calibration?: object } = { prompts }) {
  await using folder = await tinyModel('llama-tied-rope-scaled');
  await using host = await startTestHost({ plugins: [gkd, cpuBackend, huggingFaceFormat] });
  await using backend = await cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console });
  const output = folder.join('out');
  const result = await host.compress({ model: folder.model, recipe: recipe({ teacher, ...options }), ...(request as object), output, formats: ['hf'], backend, seed: 3 });
  expectNoLeaks(backend);
  return { details: result.stages[0]!.reports[0]!.details!, hashes: await folderHashes(output) };
}

function logSoftmax(logits: Float32Array): number[] {
  const largest = Math.max(...logits);
  const total = Math.log(logits.reduce((sum, value) => sum + Math.exp(value - largest), 0));
  return Array.from(logits, (value) => value - largest - total);
}

describe('gkd', () => {
  it('learns from its own responses, and repeats', async () => {
    const options = { onPolicyShare: 1, steps: 14, beta: 1 };
    const { details, hashes } = await distill(options);
    expect(details).toMatchObject({ steps: 14, onPolicySteps: 14 });
    expect(details['lastLoss']).toBeLessThan(0.8 * details['firstLoss']!);
    expect((await distill(options)).hashes).toEqual(hashes);
  });

  it('with λ = 0 is distillation on the responses of the data', async () => {
    const { details } = await distill({ onPolicyShare: 0, beta: 0, average: 'tokens', steps: 1 });
    await using folder = await tinyModel('llama-tied-rope-scaled');
    await using host = await startTestHost({ plugins: [gkd, cpuBackend] });
    await using backend = await cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console });
    await using student = await host.openModel(folder.model);
    await using other = await host.openModel(teacher);
    const tokenizer = await openTokenizer(folder.model);
    const [sums, count] = [{ forward: 0 }, { tokens: 0 }];
    for (const line of items.split('\n')) {
      const { question, answer } = JSON.parse(line) as { question: string; answer: string };
      const prompt = tokenizer.encode(`Question: ${question}\nAnswer:`);
      const ids = Int32Array.from([...tokenizer.encode(`Question: ${question}\nAnswer: ${answer}`), tokenizer.eosToken!]);
      const [theirs, own] = [await modelLogits(backend, other, [ids]), await modelLogits(backend, student, [ids])];
      for (let token = prompt.length; token < ids.length; token++) {
        const [p, q] = [theirs, own].map((logits) => logSoftmax(logits.subarray((token - 1) * 160, token * 160))) as [number[], number[]];
        sums.forward += p.reduce((sum, value, id) => sum + Math.exp(value) * (value - q[id]!), 0);
        count.tokens++;
      }
    }
    expect(details['onPolicySteps']).toBe(0);
    expect(details['firstLoss']).toBeCloseTo(sums.forward / count.tokens, 3);
  });

  it('takes prompts from a text, responses from the teacher, and adapters', async () => {
    const calibration = { data: memoryText(sampleText(3000)), samples: 6, sequenceLength: 24 };
    const { details } = await distill({ onPolicyShare: 0.5, otherResponses: 'teacher', promptTokens: 8, steps: 8, loraRank: 4, learningRate: 0.03 }, { calibration });
    expect(details['onPolicySteps']).toBeGreaterThan(0);
    expect(details['onPolicySteps']).toBeLessThan(8);
    expect(details['lastLoss']).toBeLessThan(details['firstLoss']!);
  });

  it('has the student write in a share λ of the steps', () => {
    const options: GkdOptions = gkdOptions.parse({ onPolicyShare: 0.3 });
    const source = new ResponseSource({ prompts: { texts: [{ prompt: Int32Array.of(1), response: Int32Array.of(2) }], stopTokens: [] }, options, seed: 5, generator: () => Promise.reject(new Error('not needed')) });
    const steps = Array.from({ length: 4000 }, (_, step) => source.writer(step));
    expect(steps.filter((writer) => writer === 'student').length / steps.length).toBeCloseTo(0.3, 1.5);
    expect(steps.filter((writer) => writer === 'teacher')).toEqual([]);
  });

  it('has a loss of its own kind for the ends of β', () => {
    expect([0, 1, 0.25].map((beta) => gkdLoss(beta).key)).toEqual([expect.stringContaining('"forward"'), expect.stringContaining('"reverse"'), expect.stringContaining('"beta":0.25')]);
  });

  it('needs something to learn from, with responses where they are learnt, and a teacher of the same tokens', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [gkd] });
    const run = async (request: object, options: Options = {}): Promise<string> => (await failure(host.compress({ model: folder.model, recipe: recipe({ steps: 1, ...options }), output: folder.join('out'), formats: ['dump'], backend: 'reference', ...request }))).code;
    expect(await run({})).toBe('PARE_PROMPTS_MISSING');
    expect(await run({ prompts: memoryText('{"question":"who"}') })).toBe('PARE_ITEM_INVALID');
    expect(await run({ prompts }, { maxNewTokens: 200 })).toBe('PARE_PROMPT_TOO_LONG');
    await using other = await temporaryDirectory();
    await writeSyntheticLlama(other.path, { layers: 1, vocabulary: 128 });
    expect(await run({ prompts }, { teacher: other.path })).toBe('PARE_VOCABULARY_MISMATCH');
    expect(await run({ prompts }, { learningRate: 1e30, steps: 3, onPolicyShare: 0 })).toBe('PARE_TRAINING_DIVERGED');
  });
});
