import { type Tokenizer } from '@pare/core';
import { SafetensorsFile } from '@pare/model';
import { evaluationParts, fixtures, leakCheckedBackend, memoryText, openFixture, sampleText, startTestHost, tinyModel } from '@pare/testkit';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { perplexity, perplexityOf, type PerplexityOptions } from './index.js';

/** Ids written out in decimal, so that a text can say which tokens it has. */
const numbers: Tokenizer = {
  vocabularySize: 160,
  bosToken: 1,
  eosToken: 2,
  encode: (text) => Int32Array.from(text.split(' ').map(Number)),
  decode: (ids) => [...ids].join(' '),
};

/** −log softmax(logits)[target] for one position. */
function negativeLogLikelihood(logits: Float32Array, target: number): number {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
  return most + Math.log(sum) - logits[target]!;
}

describe('perplexity', () => {
  it.each(['llama', 'gpt2', 'gemma2', 'qwen3_moe'] as const)('is what the golden logits of %s give', async (name) => {
    await using golden = await SafetensorsFile.open(join(fixtures.model(name), 'golden.safetensors'));
    const [batch, length] = golden.info('input_ids').shape as [number, number];
    const ids = [...(await golden.read('input_ids')).data].map(Number);
    const logits = (await golden.read('logits')).data as Float32Array;
    const vocabulary = logits.length / ids.length;
    const expected = perplexityOf(
      Array.from({ length: batch }, (_, window) =>
        Float64Array.from({ length: length - 1 }, (__, position) => {
          const at = window * length + position;
          return negativeLogLikelihood(logits.subarray(at * vocabulary, (at + 1) * vocabulary), ids[at + 1]!);
        }),
      ),
    );

    await using model = await openFixture(name);
    await using backend = await leakCheckedBackend();
    const reports: number[] = [];
    const { metrics, details } = await perplexity.evaluate({
      log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
      signal: new AbortController().signal,
      seed: 0,
      progress: { report: ({ completed, total }) => void reports.push(completed / total) },
      ...evaluationParts(backend, model),
      services: {},
      options: { samples: 0, sequenceLength: length, stride: 0, bos: false, weighting: 'window' },
      // A rest that does not fill a window is left out.
      data: memoryText([...ids, 5, 6, 7].join(' '), 'golden'),
      tokenizer: () => Promise.resolve(numbers),
    });
    expect(metrics['perplexity']! / expected.perplexity).toBeCloseTo(1, 5);
    expect(details).toMatchObject({ windows: batch, predictedTokens: batch * (length - 1), sequenceLength: length, text: 'golden' });
    expect(reports.at(-1)).toBe(1);
    expect(reports).toEqual([...reports].sort((a, b) => a - b));
  });

  it('takes the first windows of a text', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [perplexity] });
    await using backend = await leakCheckedBackend();
    const text = sampleText(3000);
    const run = async (data: string, samples: number): Promise<number> =>
      (await host.evaluate({ model: folder.model, evaluators: ['perplexity'], commonOptions: { samples, sequenceLength: 16 }, data: memoryText(data), backend })).metrics['perplexity']!;
    const first = await run(text, 2);
    expect(await run(text.slice(0, 300), 2)).toBe(first);
    expect(await run(text, 4)).not.toBe(first);
    // A model of random weights knows next to nothing of its 160 tokens.
    expect(first).toBeGreaterThan(100);
    expect(first).toBeLessThan(260);
  });

  it('refuses windows beyond the model’s positions, and texts that are too short', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [perplexity] });
    const request = { model: folder.model, evaluators: ['perplexity'], data: memoryText(sampleText(500)), backend: 'reference' };
    await expect(host.evaluate(request)).rejects.toMatchObject({ code: 'PARE_WINDOW_TOO_LONG', data: { length: 512, positions: 128 } });
    await expect(host.evaluate({ ...request, commonOptions: { sequenceLength: 64 } })).rejects.toMatchObject({ code: 'PARE_CALIBRATION_TOO_SHORT' });
    await expect(host.evaluate({ ...request, data: undefined })).rejects.toMatchObject({ code: 'PARE_DATA_MISSING' });
  });

  it('predicts each token from more text the shorter the stride, and from the beginning-of-sequence token where asked', async () => {
    await using model = await openFixture('llama');
    await using backend = await leakCheckedBackend();
    const { createBlockRunner } = await import('@pare/model');
    const ids = Int32Array.from({ length: 27 }, (_, index) => (index * 37 + 11) % 160);
    /** −log p of the last `scored` tokens of a window, computed alone. */
    const alone = async (window: Int32Array, scored: number): Promise<number[]> => {
      await using runner = createBlockRunner({ model, backend });
      await using hidden = await runner.embed([window]);
      for (const block of model.description.blocks.keys()) await runner.advance(block, hidden);
      const [values] = await runner.negativeLogLikelihood(hidden, [window]);
      return [...values!].slice(-scored);
    };
    const evaluate = async (options: Partial<PerplexityOptions>): Promise<number> => {
      const { metrics } = await perplexity.evaluate({
        log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
        signal: new AbortController().signal,
        seed: 0,
        progress: { report: () => undefined },
        ...evaluationParts(backend, model),
        services: {},
        options: { samples: 0, sequenceLength: 12, stride: 0, bos: false, weighting: 'window', ...options },
        data: memoryText(ids.join(' '), 'ids'),
        tokenizer: () => Promise.resolve(numbers),
      });
      return metrics['perplexity']!;
    };
    const mean = (values: number[]): number => values.reduce((a, b) => a + b) / values.length;

    // Starts 0, 5, 10, 15: the first window scores 11 tokens, each later one the 5 it brings.
    const strided = [await alone(ids.slice(0, 12), 11), await alone(ids.slice(5, 17), 5), await alone(ids.slice(10, 22), 5), await alone(ids.slice(15, 27), 5)];
    expect(await evaluate({ stride: 5, weighting: 'token' })).toBeCloseTo(Math.exp(mean(strided.flat())), 3);
    expect(await evaluate({ stride: 5 })).toBeCloseTo(Math.exp(mean(strided.map(mean))), 3);

    const begun = [await alone(Int32Array.of(1, ...ids.slice(0, 11)), 11), await alone(Int32Array.of(1, ...ids.slice(11, 22)), 11)];
    expect(await evaluate({ bos: true })).toBeCloseTo(Math.exp(mean(begun.flat())), 3);
    // By token the rest of 5 counts too.
    begun.push(await alone(Int32Array.of(1, ...ids.slice(22)), 5));
    expect(await evaluate({ bos: true, weighting: 'token' })).toBeCloseTo(Math.exp(mean(begun.flat())), 3);

    await expect(evaluate({ stride: 13 })).rejects.toMatchObject({ code: 'PARE_OPTIONS_INVALID' });
  });

  it('stops within a block when it is cancelled', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [perplexity] });
    await using backend = await leakCheckedBackend();
    const controller = new AbortController();
    host.events.on('progress', ({ detail }) => {
      if (detail === 'block 1 of 2') controller.abort();
    });
    const request = { model: folder.model, evaluators: ['perplexity'], data: memoryText(sampleText(3000)), commonOptions: { samples: 4, sequenceLength: 16 }, backend };
    await expect(host.evaluate({ ...request, signal: controller.signal })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    expect(host.recorded.some(({ event, data }) => event === 'progress' && data.detail === 'head')).toBe(false);
  });
});
