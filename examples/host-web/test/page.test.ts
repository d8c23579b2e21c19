import { referenceBackend } from '@pare/backend-reference';
import { huggingFaceFormat } from '@pare/format-hf';
import { perplexity } from '@pare/evaluator-perplexity';
import presets from '@pare/preset-standard';
import { gptq } from '@pare/technique-gptq';
import { architectures, tinyModel } from '@pare/testkit';
import { createHost } from '@pare/runtime';
import { build } from 'esbuild';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bundledText, dist, download, equalCodes, fill, metric, openSite, type Site } from './page.js';

let site: Site;
let page: Page;
let complaints: readonly string[];
let folder: Awaited<ReturnType<typeof tinyModel>>;

beforeAll(async () => {
  site = await openSite();
  folder = await tinyModel('llama');
});

afterAll(async () => {
  await site?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  ({ page, complaints } = await site.open());
});

afterEach(async () => {
  await page.close();
  expect(complaints).toEqual([]);
});

/** Chooses a model folder as the directory picker does. */
async function choose(path: string): Promise<void> {
  await page.setInputFiles('#folder-input', path);
  await page.waitForSelector('#fields:not([disabled]), #alert:not([hidden])');
}

const small = { samples: '4', length: '32', 'evaluation-samples': '4', 'new-tokens': '8', set: 'gptq.groupSize=32' };

const alertText = (): Promise<string> => page.innerText('#alert');

describe('the page', () => {
  it('loads less JavaScript at first than it may', async () => {
    const scripts = (await readdir(join(dist, 'assets'))).filter((file) => file.endsWith('.js'));
    const sizes = await Promise.all(scripts.map(async (file) => gzipSync(await readFile(join(dist, 'assets', file))).length));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(1_500_000);
  });

  it('tells what a model is and what a recipe would do', async () => {
    await choose(folder.model);
    const facts = await page.innerText('#facts');
    expect(facts).toMatch(/Architecture\s+llama/);
    expect(facts).toMatch(/Layers\s+2/);
    await fill(page, small);
    await expect.poll(() => page.innerText('#plan')).toMatch(/14 matrices\. Weights: .* → .* on webgpu\./s);
    expect(await page.innerText('#backend-reason')).not.toBe('');
  });

  it('compresses a picked folder and lets the result be downloaded', async () => {
    await choose(folder.model);
    await fill(page, small);
    const backends = await page.$$eval('#backend option:not([disabled])', (options) => options.map((option) => (option as HTMLOptionElement).value));
    expect(backends).toEqual(['auto', 'webgpu', 'reference']);
    for (const backend of backends.slice(1)) await compressOn(backend);
  });

  async function compressOn(backend: string): Promise<void> {
    await page.selectOption('#backend', backend);
    await expect.poll(() => page.innerText('#plan')).toContain(`on ${backend}`);
    // With the keyboard, as somebody without a mouse does it.
    await page.focus('#start');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#result:not([hidden]), #alert:not([hidden])', { timeout: 120_000 });
    expect(await page.isVisible('#alert')).toBe(false);
    expect(await page.innerText('#status')).toContain(`on ${backend}`);
    expect(await page.locator('#steps .done').count()).toBe(6);
    expect(await page.locator('#layers tr').count()).toBe(2);
    expect((await page.innerText('#text-after')).length).toBeGreaterThan(0);
    expect(await metric(page, 'bytes-after')).toBeLessThan(await metric(page, 'bytes-before'));

    const unpacked = await download(page, 'model-gptq-w4', folder.join(`downloaded-${backend}`));
    await checkResult(unpacked, folder.join(`node-${backend}`));
  }

  /** The page's result, opened in Node beside the same run in Node. */
  async function checkResult(directory: string, own: string): Promise<void> {
    await using host = await createHost({ plugins: [architectures, referenceBackend, huggingFaceFormat, perplexity, presets, gptq] });
    const found = await host.inspect(directory);
    expect(found.modules.filter(({ kind }) => kind === 'linear').map(({ form }) => form)).toEqual(new Array(14).fill('quantized'));
    expect(found.manifest?.metrics.after['perplexity']).toBe(await metric(page, 'perplexity-after'));

    const options = { samples: 4, sequenceLength: 32 };
    const evaluated = await host.evaluate({ model: directory, evaluators: [{ id: 'perplexity', options }], data: bundledText('evaluation'), backend: 'reference' });
    expect(evaluated.metrics['perplexity']! / (await metric(page, 'perplexity-after'))).toBeCloseTo(1, 3);
    // The model knows nothing: about as many guesses as tokens, before and after.
    expect(await metric(page, 'perplexity-after')).toBeLessThan(2 * (await metric(page, 'perplexity-before')));

    await host.compress({ model: folder.model, recipe: 'gptq-w4', set: ['gptq.groupSize=32'], calibration: { data: bundledText('calibration'), ...options }, backend: 'reference', output: own });
    await using a = await host.openModel(directory);
    await using b = await host.openModel(own);
    const quantized = found.modules.filter(({ form }) => form === 'quantized').map(({ name }) => name);
    expect(await equalCodes(a, b, quantized)).toBeGreaterThanOrEqual(0.995);
  }

  it('stops when told to and goes on where it stopped', async () => {
    await choose(folder.model);
    await fill(page, { ...small, samples: '256', length: '64', 'new-tokens': '0' });
    await page.selectOption('#backend', 'reference');
    await page.click('#start');
    await page.waitForSelector('#layers tr', { state: 'attached', timeout: 120_000 });
    await page.click('#cancel');
    await expect.poll(() => page.innerText('#status'), { timeout: 30_000 }).toContain('Cancelled.');
    await page.click('#start');
    await page.waitForSelector('#result:not([hidden])', { timeout: 120_000 });
    expect(await page.textContent('#layers')).toContain('kept');
  });

  it('says what is wrong, with code and help', async () => {
    const empty = folder.join('empty');
    await mkdir(empty, { recursive: true });
    await writeFile(join(empty, 'notes.txt'), 'no model');
    await choose(empty);
    expect(await alertText()).toMatch(/config\.json: there is no such file.*PARE_FILE_UNREADABLE/s);
    expect(await page.isDisabled('#start')).toBe(true);

    const unknown = folder.join('unknown');
    await mkdir(unknown, { recursive: true });
    await writeFile(join(unknown, 'config.json'), '{"model_type": "lama"}');
    await page.click('#alert-close');
    await choose(unknown);
    expect(await alertText()).toMatch(/PARE_ARCHITECTURE_UNKNOWN/);

    await page.click('#alert-close');
    await choose(folder.model);
    await fill(page, { ...small, set: 'gptq.groupSize=48' });
    await expect.poll(() => page.innerText('#plan')).toContain('PARE_TARGET_REFUSED');
    expect(await page.isDisabled('#start')).toBe(true);
    await fill(page, small);
    await expect.poll(() => page.isDisabled('#start')).toBe(false);
    await rm(empty, { recursive: true });
  });

  it('takes a dropped folder', async () => {
    const box = (await page.locator('#drop').boundingBox())!;
    const devtools = await page.context().newCDPSession(page);
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
      await devtools.send('Input.dispatchDragEvent', { type, x: box.x + 20, y: box.y + 20, data: { items: [], files: [folder.model], dragOperationsMask: 1 } });
    }
    await page.waitForSelector('#fields:not([disabled])');
    expect(await page.innerText('#model-name')).toBe('model');
    expect(await page.innerText('#facts')).toMatch(/Layers\s+2/);
  });

  it('opens without a network after the first visit', async () => {
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await page.context().setOffline(true);
    await page.reload();
    await page.waitForSelector('html[data-ready]');
    await choose(folder.model);
    expect(await page.innerText('#facts')).toMatch(/Layers\s+2/);
    await page.context().setOffline(false);
  });

  it('fits a narrow screen', async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    await choose(folder.model);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  });
});

describe('private storage', () => {
  it('does what a file system must', async () => {
    const source = join(import.meta.dirname, '../../../packages/platform/src');
    const contents = `
      import { fileSystemChecks } from './testing.ts';
      import { storageFiles } from './browser/storage-files.ts';
      const files = await storageFiles('checks');
      const failures = [(await files.freeBytes('/')) === undefined ? 'it is memory' : ''].filter((text) => text !== '');
      for (const [name, check] of Object.entries(fileSystemChecks)) {
        await files.remove('/work');
        await files.makeFolder('/work');
        await check(files, '/work').catch((error) => failures.push(name + ': ' + error.message));
      }
      postMessage({ count: Object.keys(fileSystemChecks).length, failures });`;
    const { outputFiles } = await build({ stdin: { contents, resolveDir: source, loader: 'ts' }, bundle: true, write: false, format: 'esm', platform: 'browser', target: 'es2022', conditions: ['@pare/source'] });
    const result = await page.evaluate(
      (script) =>
        new Promise((resolve) => {
          const worker = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })), { type: 'module' });
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = (event) => resolve(event.message);
        }),
      outputFiles[0]!.text,
    );
    expect(result).toEqual({ count: 9, failures: [] });
  });
});
