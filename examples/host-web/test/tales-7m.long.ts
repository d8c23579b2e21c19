import { cpuBackend } from '@pare/backend-cpu';
import { perplexity } from '@pare/evaluator-perplexity';
import { huggingFaceFormat } from '@pare/format-hf';
import presets from '@pare/preset-standard';
import { createHost } from '@pare/runtime';
import { gptq } from '@pare/technique-gptq';
import { architectures, temporaryDirectory } from '@pare/testkit';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { bundledText, download, equalCodes, fill, metric, openSite } from './page.js';

/* GPTQ of tales-7m over 4 × 128 tokens in the page, on WebGPU: minutes where that computes on the processor. */

const model = join(import.meta.dirname, '../../models/tales-7m');
const windows = { samples: 4, sequenceLength: 128 };
// Inputs of blocks come from the original model: with errors propagated, a code that differs changes the inputs of every block after it, and GPTQ answers to the last bit of those (docs/benchmarks.md).
const settings = ['gptq.groupSize=64', 'gptq.propagateErrors=false'];

it('compresses tales-7m as Node does on the processor', { timeout: 1_800_000 }, async () => {
  await using folder = await temporaryDirectory();
  await using site = await openSite();
  const { page, complaints } = await site.open();

  await page.click('#use-bundled');
  await page.waitForSelector('#fields:not([disabled])');
  await page.selectOption('#backend', 'webgpu');
  await fill(page, { samples: '4', length: '128', 'evaluation-samples': '16', 'new-tokens': '12', set: settings.join('\n') });
  await expect.poll(() => page.innerText('#plan')).toContain('on webgpu');
  await page.click('#start');
  await page.waitForSelector('#result:not([hidden]), #alert:not([hidden])', { timeout: 1_500_000 });
  expect(await page.isVisible('#alert')).toBe(false);
  expect(complaints).toEqual([]);
  const inPage = await download(page, 'tales-7m-gptq-w4', folder.path);

  await using host = await createHost({ plugins: [architectures, cpuBackend, huggingFaceFormat, perplexity, presets, gptq] });
  const inNode = folder.join('cpu');
  await host.compress({ model, recipe: 'gptq-w4', set: settings, calibration: { data: bundledText('calibration'), ...windows }, backend: 'cpu', output: inNode });
  await using a = await host.openModel(inPage);
  await using b = await host.openModel(inNode);
  const quantized = a.modules.filter(({ form }) => form === 'quantized');
  expect(quantized.length).toBe(b.modules.filter(({ form }) => form === 'quantized').length);

  const shares = [];
  for (let block = 0; block < a.description.blocks.length; block++) shares.push(await equalCodes(a, b, quantized.filter((module) => module.block === block).map(({ name }) => name)));
  const evaluate = async (of: string): Promise<number> => {
    const { metrics } = await host.evaluate({ model: of, evaluators: [{ id: 'perplexity', options: { samples: 64, sequenceLength: 128 } }], data: bundledText('evaluation'), backend: 'cpu' });
    return metrics['perplexity']!;
  };
  const [page64, node64, before] = [await evaluate(inPage), await evaluate(inNode), await evaluate(model)];
  process.stdout.write(`equal codes by block: ${shares.map((share) => share.toFixed(4)).join(', ')}; perplexity before ${before.toFixed(4)}, page ${page64.toFixed(4)}, Node on cpu ${node64.toFixed(4)}\n`);
  expect(Math.min(...shares)).toBeGreaterThanOrEqual(0.995);
  expect(await metric(page, 'perplexity-after')).toBeLessThan(1.1 * (await metric(page, 'perplexity-before')));
  expect(Math.abs(page64 / node64 - 1)).toBeLessThan(0.002);
});
