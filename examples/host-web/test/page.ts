import type { Model, QuantizedWeight } from '@pare/core';
import { unzipSync } from 'fflate';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { dirname, join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { serve } from '../serve.mjs';
import { findChromium, webgpuFlags } from '../../../chromium.mjs';

/** The built page. */
export const dist = join(import.meta.dirname, '../dist');

/** A text that comes with the page. */
export const bundledText = (name: 'calibration' | 'evaluation'): string => join(dist, 'texts', `${name}.txt`);

/** A browser beside a server of the page. */
export interface Site extends AsyncDisposable {
  readonly browser: Browser;
  /** A page that is ready, and what it complains about from then on. */
  open(options?: Parameters<Browser['newPage']>[0]): Promise<{ readonly page: Page; readonly complaints: readonly string[] }>;
}

export async function openSite(): Promise<Site> {
  const { server, address } = (await serve(0)) as { server: Server; address: string };
  const browser = await chromium.launch({ executablePath: findChromium()!, args: webgpuFlags });
  return {
    browser,
    async open(options) {
      const page = await browser.newPage(options);
      const complaints: string[] = [];
      page.on('pageerror', (error) => complaints.push(error.message));
      page.on('console', (message) => {
        if (message.type() === 'error') complaints.push(message.text());
      });
      await page.goto(address);
      await page.waitForSelector('html[data-ready]');
      return { page, complaints };
    },
    async [Symbol.asyncDispose]() {
      await browser.close();
      server.close();
    },
  };
}

/** Types values into fields, with the recipe's options open. */
export async function fill(page: Page, values: Readonly<Record<string, string>>): Promise<void> {
  await page.evaluate(() => {
    document.querySelector('details')!.open = true;
  });
  for (const [id, value] of Object.entries(values)) await page.fill(`#${id}`, value);
  await page.locator('#set').blur();
}

/** A figure of the result as the page computed it. */
export async function metric(page: Page, name: string): Promise<number> {
  return Number(await page.getAttribute(`[data-metric="${name}"]`, 'data-value'));
}

/** Presses the download button, unpacks what comes, and gives the folder of the model in it. */
export async function download(page: Page, name: string, into: string): Promise<string> {
  const [file] = await Promise.all([page.waitForEvent('download'), page.click('#download')]);
  if (file.suggestedFilename() !== `${name}.zip`) throw new Error(`the download is called ${file.suggestedFilename()}`);
  for (const [path, content] of Object.entries(unzipSync(await readFile(await file.path())))) {
    await mkdir(dirname(join(into, path)), { recursive: true });
    await writeFile(join(into, path), content);
  }
  return join(into, name);
}

/** The share of codes that two models have in common, over these modules. */
export async function equalCodes(a: Model, b: Model, modules: readonly string[]): Promise<number> {
  let codes = 0;
  let equal = 0;
  for (const name of modules) {
    const [first, second] = [(await a.weight(name)) as QuantizedWeight, (await b.weight(name)) as QuantizedWeight];
    codes += first.codes.length;
    equal += first.codes.filter((code, index) => code === second.codes[index]).length;
  }
  return equal / codes;
}
