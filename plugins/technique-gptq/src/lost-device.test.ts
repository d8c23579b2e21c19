import type { Backend } from '@pare/core';
import { webgpuBackend, webgpuDevice } from '@pare/backend-webgpu';
import { folderHashes, memoryText, sampleText, startTestHost, tinyModel } from '@pare/testkit';
import type { CompressionResult } from '@pare/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gptq } from './index.js';

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
const recipe = { version: 1, stages: [{ technique: 'gptq', options: { bits: 4, groupSize: 32, minimumTokens: 1 } }] } as const;
const calibration = { data: memoryText(sampleText(4000)), samples: 4, sequenceLength: 24 };

const openWebgpu = (): Promise<Backend> => webgpuBackend.create({ powerPreference: 'high-performance', software: true }, { log });

describe('a device that is lost in the middle of a run', () => {
  let folder: Awaited<ReturnType<typeof tinyModel>>;
  beforeAll(async () => {
    folder = await tinyModel('llama');
  });
  afterAll(async () => {
    await folder[Symbol.asyncDispose]();
  });

  /** Compresses; takes the device away after the block of this index, as a driver that restarts does. */
  async function run(output: string, settings: { readonly loseAfter?: number; readonly resume?: boolean } = {}): Promise<CompressionResult> {
    await using host = await startTestHost({ plugins: [gptq] });
    await using backend = await openWebgpu();
    host.events.on('block:done', ({ block }) => {
      if (block === settings.loseAfter) backend.capability(webgpuDevice)!.destroy();
    });
    return await host.compress({ model: folder.model, recipe, calibration, output, formats: ['dump'], backend, resume: settings.resume ?? false });
  }

  it('costs the block that was being worked on, and no more', async () => {
    const [whole, broken] = [folder.join('whole'), folder.join('broken')];
    await run(whole);
    await expect(run(broken, { loseAfter: 0 })).rejects.toMatchObject({ code: 'PARE_BACKEND_LOST' });
    await run(broken, { resume: true });
    expect(await folderHashes(broken)).toEqual(await folderHashes(whole));
  });
});
