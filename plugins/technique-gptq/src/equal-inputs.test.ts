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
 * GPTQ of the first and the last block of a model on equal inputs: hidden states come from the cpu backend and its codes, Gram matrices and codes from either backend. Two runs
 * that propagate their errors depart from each other, because a code that differs changes the inputs of every block after it (docs/benchmarks.md). Whole runs that do not are compared by
 * `npm run test:browser -- --model tales-7m`.
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

/** Blocks that are computed on both sides. */
const compared: ReadonlySet<number> = new Set([0, 7]);

function equalShare(expected: ReadonlyMap<string, QuantizedWeight>, actual: ReadonlyMap<string, QuantizedWeight>): number {
  let codes = 0;
  let equal = 0;
  for (const [name, form] of expected) {
    codes += form.codes.length;
    equal += form.codes.filter((code, index) => code === actual.get(name)!.codes[index]).length;
  }
  return equal / codes;
}

it.each(Object.entries(gpuBackends()))('gives the codes of the cpu backend in blocks of tales-7m on %s', { timeout: 900_000 }, async (_id, open) => {
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
    const expected = await compressBlock(model, block, cpu, cpuRunner, hidden);
    for (const [name, form] of expected) compressed.set(name, form);
    if (compared.has(block)) {
      for (const chunk of hidden.chunks.keys()) await same.write(chunk, await hidden.read(chunk));
      shares.push(equalShare(expected, await compressBlock(model, block, gpu, gpuRunner, same)));
    }
    await cpuRunner.advance(block, hidden, overlayModel(model, new Map([...compressed].map(([name, form]) => [name, () => Promise.resolve(form)]))));
  }
  expect(shares).toHaveLength(compared.size);
  expect(Math.min(...shares), shares.map((share) => share.toFixed(5)).join(', ')).toBeGreaterThanOrEqual(0.995);
});
