import type { Backend, Model, QuantizedWeight } from '@pare/core';
import { llamaArchitecture } from '@pare/architecture-llama';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { createBlockRunner, fileText, gramStatistic, openModel, openTokenizer, overlayModel, tokenWindows, type BlockRunner, type HiddenStates } from '@pare/model';
import { gpuBackends, runTechnique } from '@pare/testkit';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { gptq } from './index.js';
import { options } from './testing.js';

/*
 * GPTQ of a whole model, block by block on equal inputs: hidden states come from the cpu backend and its codes, Gram matrices and codes from either backend. Nothing closer
 * can be asked of two whole runs, because a code that differs changes the inputs of every block after it (docs/benchmarks.md).
 */

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
const examples = join(import.meta.dirname, '../../../examples');

/** The block's matrices as GPTQ leaves them, from hidden states that stay as they are. */
async function compressBlock(model: Model, block: number, backend: Backend, runner: BlockRunner, hidden: HiddenStates): Promise<Map<string, QuantizedWeight>> {
  const names = model.modules.filter((module) => module.block === block && module.kind === 'linear').map(({ name }) => name);
  using statistics = await runner.collect(block, hidden, names.map((module) => ({ module, statistics: [gramStatistic] })));
  const modules = await Promise.all(
    names.map(async (name) => [name, { weight: await model.denseWeight(name), statistics: { [gramStatistic.id]: statistics.get(name, gramStatistic) } }] as const),
  );
  const results = await runTechnique(gptq, { options: options({ groupSize: 64, scaleType: 'bfloat16' }), backend, modules: Object.fromEntries(modules) });
  return new Map([...results].map(([name, { form }]) => [name, form as QuantizedWeight]));
}

it.each(Object.entries(gpuBackends()))('gives the codes of the cpu backend in every block of tales-7m on %s', { timeout: 900_000 }, async (_id, open) => {
  await using model = await openModel(join(examples, 'models/tales-7m'), { architectures: [llamaArchitecture] });
  const windows = await tokenWindows(await openTokenizer(model.directory), fileText(join(examples, 'data/tales-calibration.txt')), { samples: 4, sequenceLength: 128 });
  await using cpu = await cpuBackend.create(cpuOptions.parse({}), { log });
  await using gpu = await open();
  await using cpuRunner = createBlockRunner({ model, backend: cpu });
  await using gpuRunner = createBlockRunner({ model, backend: gpu });
  await using hidden = await cpuRunner.embed(windows);
  await using same = await gpuRunner.embed(windows);
  const compressed = new Map<string, QuantizedWeight>();
  const shares: number[] = [];
  for (let block = 0; block < model.description.blocks.length; block++) {
    for (const chunk of hidden.chunks.keys()) await same.write(chunk, await hidden.read(chunk));
    const expected = await compressBlock(model, block, cpu, cpuRunner, hidden);
    const actual = await compressBlock(model, block, gpu, gpuRunner, same);
    let codes = 0;
    let equal = 0;
    for (const [name, form] of expected) {
      compressed.set(name, form);
      codes += form.codes.length;
      equal += form.codes.filter((code, index) => code === actual.get(name)!.codes[index]).length;
    }
    shares.push(equal / codes);
    await cpuRunner.advance(block, hidden, overlayModel(model, new Map([...compressed].map(([name, form]) => [name, () => Promise.resolve(form)]))));
  }
  expect(shares).toHaveLength(8);
  expect(Math.min(...shares), shares.map((share) => share.toFixed(5)).join(', ')).toBeGreaterThanOrEqual(0.995);
});
