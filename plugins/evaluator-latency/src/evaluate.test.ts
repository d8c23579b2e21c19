import { onnxFormat } from '@pare/format-onnx';
import { memoryText, probeTechnique, sampleText, startTestHost, temporaryDirectory, tinyModel, type TemporaryDirectory, type TestHost } from '@pare/testkit';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { latency, type LatencyOptions, type PromptLatency } from './index.js';

let tiny: TemporaryDirectory & { readonly model: string };
let host: TestHost;
let exported: string;
beforeAll(async () => {
  tiny = await tinyModel('llama');
  host = await startTestHost({ plugins: [latency, onnxFormat, probeTechnique()] });
  exported = tiny.join('exported');
  await host.compress({
    model: tiny.model,
    recipe: { version: 1, stages: [{ technique: 'probe', options: { bits: 4, groupSize: 32 } }] },
    calibration: { data: memoryText(sampleText(500)), samples: 1, sequenceLength: 8 },
    output: exported,
    formats: [{ id: 'onnx', options: { dtype: ['fp32', 'fp16'], verifyByRunning: false } }],
    backend: 'reference',
  });
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await tiny[Symbol.asyncDispose]();
});

const short = { promptLengths: [8, 5], newTokens: 3, warmups: 1, runs: 2, threads: 1 };
const measure = (options: Partial<LatencyOptions>, signal?: AbortSignal): ReturnType<TestHost['evaluate']> =>
  host.evaluate({ model: tiny.model, evaluators: [{ id: 'latency', options: { ...short, ...options } }], backend: 'reference', signal });

describe('latency', () => {
  it.each([
    ['auto', 'fp32', 1],
    ['fp16', 'fp16', 2],
  ] as const)('measures what was exported: %s', async (dtype, chosen, batch) => {
    const { metrics, evaluations } = await measure({ folder: exported, dtype, batch });
    expect(Object.keys(metrics).sort()).toEqual(['decodeTokensPerSecond', 'prefillTokensPerSecond', 'timeToFirstTokenMilliseconds']);
    for (const value of Object.values(metrics)) expect(value).toBeGreaterThan(0);
    const details = evaluations[0]!.details as { prompts: PromptLatency[]; peakMemoryBytes: number };
    expect(details).toMatchObject({ dtype: chosen, provider: 'cpu', threads: 1, batch, newTokens: 3, warmups: 1, context: 11, runtime: 'onnxruntime-node 1.30.0' });
    expect(details.prompts.map(({ promptLength, runs }) => [promptLength, runs])).toEqual([
      [8, 2],
      [5, 2],
    ]);
    expect(metrics['decodeTokensPerSecond']).toBe(details.prompts[0]!.decodeTokensPerSecond);
    expect(metrics['timeToFirstTokenMilliseconds']).toBe(details.prompts[0]!.timeToFirstTokenMilliseconds.p50);
    expect(details.peakMemoryBytes).toBeGreaterThan(2 ** 20);
  });

  it('refuses a folder without the file, and says what there is', async () => {
    await expect(measure({})).rejects.toMatchObject({ code: 'PARE_ONNX_MISSING', data: { directory: tiny.model, found: [] } });
    const wrong = measure({ folder: exported, dtype: 'q4' });
    await expect(wrong).rejects.toMatchObject({ code: 'PARE_ONNX_MISSING', data: { wanted: 'onnx/model_q4.onnx', found: ['onnx/model.onnx', 'onnx/model_fp16.onnx'] } });
    await expect(wrong).rejects.toThrow('has no onnx/model_q4.onnx; it has onnx/model.onnx, onnx/model_fp16.onnx');
  });

  it('refuses more positions than the model has', async () => {
    await expect(measure({ folder: exported, promptLengths: [8, 126] })).rejects.toMatchObject({ code: 'PARE_WINDOW_TOO_LONG', data: { length: 129, positions: 128 } });
  });

  it('says why a file does not run', async () => {
    await using folder = await temporaryDirectory();
    await mkdir(folder.join('onnx'));
    await writeFile(folder.join('onnx', 'model_q4.onnx'), 'not a graph');
    await expect(measure({ folder: folder.path })).rejects.toMatchObject({ code: 'PARE_ONNX_UNUSABLE', data: { file: folder.join('onnx', 'model_q4.onnx') } });
  });

  it('stops when it is cancelled', async () => {
    const controller = new AbortController();
    const stop = (): void => {
      controller.abort();
    };
    host.events.on('progress', stop);
    try {
      await expect(measure({ folder: exported, runs: 1_000_000, maximumSeconds: 1e6 }, controller.signal)).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    } finally {
      host.events.off('progress', stop);
    }
  });

  it('takes the default that the folder states', async () => {
    await using folder = await temporaryDirectory();
    await mkdir(folder.join('onnx'));
    for (const file of ['model.onnx', 'model_fp16.onnx']) await copyFile(join(exported, 'onnx', file), folder.join('onnx', file));
    await writeFile(folder.join('config.json'), JSON.stringify({ 'transformers.js_config': { dtype: 'fp16' } }));
    const dtype = async (): Promise<unknown> => (await measure({ folder: folder.path, promptLengths: [2], newTokens: 1, warmups: 0, runs: 1 })).evaluations[0]!.details?.['dtype'];
    expect(await dtype()).toBe('fp16');
    await rm(folder.join('onnx', 'model_fp16.onnx'));
    expect(await dtype()).toBe('fp32');
  });
});
