import type { Backend, Continuation, Model, Predictor } from '@pare/core';
import { blockPredictor, comparePredictions } from '@pare/evaluation';
import { defaultFiles } from '@pare/platform';
import { openFixture, temporaryDirectory, type FixtureName, type TemporaryDirectory } from '@pare/testkit';
import { referenceBackend } from '@pare/backend-reference';
import { mkdir, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { onnxFormat, onnxOptions } from './index.js';

let backend: Backend;
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const signal = new AbortController().signal;

beforeAll(async () => {
  backend = await referenceBackend.create({}, { log: silent });
});
afterAll(async () => {
  await backend[Symbol.asyncDispose]();
});

/** A fixture, its fp32 export, and predictors of both. */
async function bothOf(name: FixtureName): Promise<AsyncDisposable & { model: Model; weights: Predictor; exported: Predictor; folder: TemporaryDirectory }> {
  const model = await openFixture(name);
  const folder = await temporaryDirectory();
  const options = onnxOptions.parse({ dtype: ['fp32'], verifyByRunning: false });
  await onnxFormat.write({ log: silent, signal, seed: 0, progress: { report: () => undefined }, backend, services: {}, model, options, files: defaultFiles, directory: folder.path });
  const artifact = await onnxFormat.artifacts!.open({ file: folder.join('onnx', 'model.onnx'), model, signal });
  return {
    model,
    folder,
    weights: blockPredictor({ model, backend }),
    exported: artifact.predictor,
    async [Symbol.asyncDispose]() {
      await artifact[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
      await model[Symbol.asyncDispose]();
    },
  };
}

const windowsOf = (...lengths: number[]): Int32Array[] => lengths.map((length, window) => Int32Array.from({ length }, (_, index) => (index * 37 + window * 11 + 5) % 160));

function largestDifference(left: readonly ArrayLike<number>[], right: readonly ArrayLike<number>[]): number {
  expect(left.map(({ length }) => length)).toEqual(right.map(({ length }) => length));
  return Math.max(...left.flatMap((values, row) => Array.from(values, (value, index) => Math.abs(value - right[row]![index]!))));
}

describe('an exported decoder', () => {
  it.each(['llama', 'gpt2', 'gemma2', 'opt', 'gpt_neox', 'mistral', 'qwen3_moe'] as const)('of %s predicts what the weights predict, in pieces of any size', async (name) => {
    await using both = await bothOf(name);
    const { weights, exported } = both;
    const windows = windowsOf(24, 17, 2);
    const expected = await weights.negativeLogLikelihood(windows);
    // Five positions of 160 logits at a time, behind the cache.
    for (const logitsBytes of [undefined, 5 * 160 * 4]) expect(largestDifference(await exported.negativeLogLikelihood(windows, { logitsBytes }), expected)).toBeLessThan(1e-4);

    const [prompt, other] = windowsOf(9, 6).map((ids) => [...ids]) as [number[], number[]];
    const continuation = (ids: readonly number[], start: number): Continuation => ({ ids: Int32Array.from(ids), start });
    const groups = [
      [continuation([...prompt, 3, 4, 5], 9), continuation([...prompt, 7], 9), continuation([...prompt, 3, 9], 9)],
      [continuation([...other, 1], 2), continuation(other, 1)],
      [],
    ];
    const scores = await weights.scoreContinuations(groups);
    for (const logitsBytes of [undefined, 2 * 160 * 4]) {
      expect(largestDifference((await exported.scoreContinuations(groups, { logitsBytes })).flat(), scores.flat())).toBeLessThan(1e-4);
    }

    const likeliest = (logits: Float32Array): number => logits.indexOf(Math.max(...logits));
    const request = { prompts: windowsOf(11, 4, 7), maxNewTokens: 5, batchSize: 2, pick: likeliest, done: (tokens: readonly number[], at: number) => at === 1 && tokens.length === 3 };
    const generated = await weights.generate(request);
    expect(generated.map(({ length }) => length)).toEqual([5, 3, 5]);
    for (const logitsBytes of [undefined, 3 * 2 * 160 * 4]) expect(await exported.generate({ ...request, logitsBytes })).toEqual(generated);
  });

  it('is compared with weights as weights are with weights', async () => {
    await using one = await bothOf('llama');
    await using two = await bothOf('mistral');
    const windows = windowsOf(24, 16);
    const compare = (original: Predictor, model: Predictor, logitsBytes?: number) => comparePredictions({ original, model, names: ['original', 'model'], windows, logitsBytes });
    const expected = await compare(one.weights, two.weights);
    for (const [original, model] of [[one.exported, two.exported], [one.weights, two.exported], [one.exported, two.weights]] as const) {
      for (const logitsBytes of [undefined, 2 * 4 * 160 * 4]) {
        const found = await compare(original, model, logitsBytes);
        for (const key of ['divergence', 'originalLoss', 'loss', 'sameTop'] as const) {
          expect(largestDifference(found.map((window) => window[key]), expected.map((window) => window[key]))).toBeLessThan(1e-4);
        }
      }
    }
    const same = await compare(one.exported, one.exported);
    expect(Math.max(...same.flatMap(({ divergence }) => [...divergence]))).toBe(0);
    expect(same.every(({ sameTop }) => sameTop.every((value) => value === 1))).toBe(true);
  });

  it('names model, window and position of logits that are not finite', async () => {
    await using both = await bothOf('llama');
    const broken: Predictor = {
      ...both.exported,
      async *logits(windows) {
        for (const [window, ids] of windows.entries()) {
          const logits = new Float32Array((ids.length - 1) * 160);
          if (window === 1) logits[3 * 160 + 7] = Number.NaN;
          yield { window, position: 0, rows: ids.length - 1, logits: await Promise.resolve(logits) };
        }
      },
    };
    const compare = (original: Predictor, model: Predictor) => comparePredictions({ original, model, names: ['original', 'model'], windows: windowsOf(5, 6) });
    await expect(compare(both.exported, broken)).rejects.toMatchObject({ code: 'PARE_LOGITS_NOT_FINITE', data: { model: 'model', window: 1, position: 3 } });
    await expect(compare(broken, both.exported)).rejects.toMatchObject({ code: 'PARE_LOGITS_NOT_FINITE', data: { model: 'original', window: 1, position: 3 } });
  });

  it('refuses what the model refuses, and stops when it is cancelled', async () => {
    await using both = await bothOf('llama');
    await expect(both.exported.negativeLogLikelihood(windowsOf(129))).rejects.toMatchObject({ code: 'PARE_WINDOW_TOO_LONG', data: { length: 129, positions: 128 } });
    await expect(both.exported.negativeLogLikelihood([Int32Array.of(1, 160)])).rejects.toMatchObject({ code: 'PARE_TOKEN_OUT_OF_RANGE', data: { token: 160, window: 0, position: 1 } });
    const controller = new AbortController();
    const stopped = both.exported.negativeLogLikelihood(windowsOf(24, 24, 24), { signal: controller.signal, onProgress: () => controller.abort() });
    await expect(stopped).rejects.toMatchObject({ code: 'PARE_ABORTED' });
  });
});

describe('artefacts of a folder', () => {
  it('are found with the stated default first, and hold all their files', async () => {
    await using folder = await temporaryDirectory();
    await mkdir(folder.join('onnx'));
    const touch = (name: string): Promise<void> => writeFile(folder.join('onnx', name), '');
    for (const name of ['model.onnx', 'model_q4.onnx', 'model_q4.onnx_data', 'model_q4.onnx_data_1', 'model_q4f16.onnx', 'model.onnx.data', 'notes.txt']) await touch(name);
    const { find, filesOf, folderOf } = onnxFormat.artifacts!;
    expect((await find(folder.path, defaultFiles)).map(({ name }) => name)).toEqual(['fp32', 'q4', 'q4f16']);
    await writeFile(folder.join('config.json'), JSON.stringify({ 'transformers.js_config': { dtype: 'q4' } }));
    const [first] = await find(folder.path, defaultFiles);
    expect(first).toEqual({ file: folder.join('onnx', 'model_q4.onnx'), name: 'q4' });
    const names = async (file: string): Promise<string[]> => (await filesOf(folder.join('onnx', file), defaultFiles)).map((path) => path.slice(folder.join('onnx').length + 1));
    expect(await names('model_q4.onnx')).toEqual(['model_q4.onnx', 'model_q4.onnx_data', 'model_q4.onnx_data_1']);
    expect(await names('model.onnx')).toEqual(['model.onnx', 'model.onnx.data']);
    expect(folderOf(first!.file, defaultFiles)).toBe(folder.path);
    expect(folderOf(folder.join('loose.onnx'), defaultFiles)).toBe(folder.path);
  });
});
