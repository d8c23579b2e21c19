import { build } from 'esbuild';
import { createServer, type Server } from 'node:http';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { chromium, type Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PageResults } from '../browser/vitest-in-page.js';
import { findChromium, webgpuFlags } from '../../../chromium.mjs';

/* The conformance suite, ONNX's node cases included, on navigator.gpu of a headless Chromium: the same test file, bundled for a page. */

const folder = join(import.meta.dirname, '../browser');
const fixtures = join(import.meta.dirname, '../../../packages/conformance/fixtures/onnx-node-tests');

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(folder, 'conformance-page.ts')],
    ...{ bundle: true, write: false, format: 'esm', platform: 'browser', target: 'es2022', conditions: ['@pare/source'], logLevel: 'silent' },
    // Top-level await in a bundle of one file: dynamic imports stay inside it.
    splitting: false,
    alias: { vitest: join(folder, 'vitest-in-page.ts'), 'node:fs': join(folder, 'files-in-page.ts') },
    // What only Node reaches, behind conditions that a page never meets.
    external: ['node:*', 'webgpu'],
  });
  return outputFiles[0]!.text;
}

describe('headless Chromium', () => {
  let server: Server;
  let browser: Browser;

  beforeAll(async () => {
    const script = await bundle();
    const files: Readonly<Record<string, { readonly type: string; readonly body: () => Promise<Buffer | string> }>> = {
      '/': { type: 'text/html', body: () => Promise.resolve('<!doctype html><meta charset="utf-8"><title>conformance</title><script type="module" src="/suite.js"></script>') },
      '/suite.js': { type: 'text/javascript', body: () => Promise.resolve(script) },
      '/index.json': { type: 'application/json', body: () => readFile(join(fixtures, 'index.json')) },
      '/data.safetensors': { type: 'application/octet-stream', body: () => readFile(join(fixtures, 'data.safetensors')) },
    };
    server = createServer((request, response) => {
      const file = files[request.url ?? ''];
      if (file === undefined) {
        response.writeHead(404).end();
        return;
      }
      void file.body().then((body) => response.writeHead(200, { 'content-type': file.type }).end(body));
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    browser = await chromium.launch({ executablePath: findChromium()!, args: [...webgpuFlags] });
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  it('passes the suite on navigator.gpu', { timeout: 600_000 }, async () => {
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}/`);
    await page.waitForFunction(() => 'results' in globalThis, undefined, { timeout: 590_000 });
    const results = (await page.evaluate(() => (globalThis as { results?: unknown }).results)) as PageResults;
    expect({ failures: results.failures, complaints }).toEqual({ failures: [], complaints: [] });
    expect(results.passed).toBeGreaterThan(700);
    await page.close();
  });
});
