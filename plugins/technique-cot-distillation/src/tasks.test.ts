import type { Backend, Model, Tokenizer } from '@pare/core';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { openTokenizer } from '@pare/model';
import { expectNoLeaks, memoryText, openFixture, tinyModel } from '@pare/testkit';
import { crossEntropy, DecoderGradients, decoderSegments, loadParameters, taskBatches } from '@pare/training';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cotDistillationOptions, type CotDistillationOptions } from './options.js';
import { readQuestions } from './questions.js';
import { buildTasks, type Tasks } from './tasks.js';

const items = [
  { question: 'who', rationale: 'they dig', answer: 'ants' },
  { question: 'what', rationale: 'it hums and flies', answer: 'bees' },
  { question: 'when', rationale: 'at night', answer: 'cats' },
];

let [backend, model, tokenizer] = [undefined as unknown as Backend, undefined as unknown as Model, undefined as unknown as Tokenizer];
beforeAll(async () => {
  await using folder = await tinyModel('llama');
  tokenizer = await openTokenizer(folder.model);
  backend = await cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console });
  model = await openFixture('llama');
});
afterAll(async () => {
  expectNoLeaks(backend);
  await model[Symbol.asyncDispose]();
  await backend[Symbol.asyncDispose]();
});

async function tasksOf(change: Partial<CotDistillationOptions>): Promise<Tasks> {
  const options = { ...cotDistillationOptions.parse({ rationales: 'file' }), ...change };
  const questions = await readQuestions(memoryText(items.map((item) => JSON.stringify(item)).join('\n')), tokenizer, options, 128);
  return buildTasks(questions, questions.map(({ answer, rationale }) => ({ label: answer, reasons: [{ rationale, answer: answer! }] })), options, tokenizer, 128);
}

/** The texts that are read, and those that are learnt, of a task's examples. */
function texts(task: Tasks['answers']): [string, string][] {
  return (task?.examples ?? []).map(({ ids, mask }) => [tokenizer.decode(ids.filter((_, index) => mask![index] === 0)), tokenizer.decode(ids.filter((_, index) => mask![index] === 1))]);
}

/** Loss of the first step, and the gradient of the last norm. */
async function lossOf(change: Partial<CotDistillationOptions>): Promise<{ loss: number; gradient: number[] }> {
  const { answers, reasons } = await tasksOf(change);
  const batches = taskBatches({ tasks: [answers, reasons].filter((task) => task !== undefined), batchSize: 3, padding: 2, positions: 128, seed: 1 })(0);
  const segments = decoderSegments({ description: model.description, experts: 'all', loss: crossEntropy });
  const parameters = await loadParameters(backend, model, segments);
  await using gradients = new DecoderGradients({ backend, segments, parameters, trainable: new Set(['model.norm.weight']), recompute: false });
  let [loss, gradient] = [0, [] as number[]];
  for (const batch of batches) {
    const found = await gradients.backward(batch, async (complete) => {
      for (const tensor of complete.values()) {
        using owned = tensor;
        const { data } = await backend.read(owned);
        gradient = Array.from(data as Float32Array, (value, index) => value + (gradient[index] ?? 0));
      }
    });
    loss += found.loss;
  }
  for (const tensor of parameters.values()) tensor[Symbol.dispose]();
  return { loss, gradient };
}

describe('buildTasks', () => {
  it('learns answers and reasons behind prompts of their own, and no prompt', async () => {
    const { answers, reasons, unfit } = await tasksOf({});
    expect(texts(answers)[0]).toEqual(['Question: who\nAnswer:', ' ants</s>']);
    expect(texts(reasons)[1]).toEqual(['Question: what\nReason:', ' it hums and flies</s>']);
    expect([answers!.share, reasons!.share, unfit]).toEqual([0.5, 0.5, 0]);
    for (const [prompt] of texts(answers)) expect(prompt).not.toContain('Reason');
  });

  it('takes task prefixes as templates', async () => {
    const { answers, reasons } = await tasksOf({ labelPrompt: '[label] {question}', rationalePrompt: '[rationale] {question}' });
    expect(texts(answers)[0]).toEqual(['[label] who', ' ants</s>']);
    expect(texts(reasons)[0]).toEqual(['[rationale] who', ' they dig</s>']);
  });

  it('arranges reasons and answers as the method has it', async () => {
    const chain = ['Question: who\nReason:', ' they dig\nAnswer: ants</s>'];
    const multiTask = await tasksOf({ method: 'mt-cot', alpha: 0.25 });
    expect([texts(multiTask.reasons)[0], multiTask.answers!.share, multiTask.reasons!.share]).toEqual([chain, 0.25, 0.75]);
    expect(texts((await tasksOf({ method: 'mt-cot', arrangement: 'answer-first' })).reasons)[0]).toEqual(['Question: who\nAnswer:', ' ants\nReason: they dig</s>']);
    const fineTune = await tasksOf({ method: 'fine-tune-cot' });
    expect([texts(fineTune.reasons)[0], fineTune.answers]).toEqual([chain, undefined]);
    expect((await tasksOf({ method: 'label-only' })).reasons).toBeUndefined();
  });

  it('has a loss that is linear in alpha, and at 1 that of answers alone', async () => {
    const [none, half, third, all] = await Promise.all([0, 0.5, 1 / 3, 1].map((alpha) => lossOf({ alpha })));
    expect(half!.loss).toBeCloseTo((none!.loss + all!.loss) / 2, 5);
    expect(third!.loss).toBeCloseTo((2 * none!.loss + all!.loss) / 3, 5);
    for (const [index, value] of half!.gradient.entries()) expect(value).toBeCloseTo((none!.gradient[index]! + all!.gradient[index]!) / 2, 5);
    const plain = await lossOf({ method: 'label-only' });
    expect(all).toEqual(plain);
    const { answers } = await tasksOf({ alpha: 0 });
    expect(answers).toBeUndefined();
  });
});
