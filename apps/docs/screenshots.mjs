// node apps/docs/screenshots.mjs: pictures of the built site in Chromium (out/screenshots), for a look at what a change did: front page, pages, search, a narrow screen, dark mode.
// Fails when a page asks for anything outside the site, or when search finds nothing: the site has to work without a network.
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { findChromium, quietFlags } from '../../chromium.mjs';
import { serveFolder } from './serve.mjs';

const app = dirname(fileURLToPath(import.meta.url));
const folder = join(app, 'out/screenshots');
mkdirSync(folder, { recursive: true });
const { address, close } = await serveFolder(join(app, 'out/site'));
const browser = await chromium.launch({ executablePath: findChromium(), args: quietFlags });
const problems = [];

async function open(path, { width = 1280, height = 900, dark = false } = {}) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: dark ? 'dark' : 'light' });
  page.on('request', (request) => {
    if (!request.url().startsWith(address) && !request.url().startsWith('data:')) problems.push(`${path} asks for ${request.url()}`);
  });
  page.on('pageerror', (error) => problems.push(`${path}: ${error.message}`));
  page.on('response', (response) => {
    if (response.status() >= 400) problems.push(`${path}: ${response.status()} ${response.url()}`);
  });
  await page.goto(`${address}${path}`, { waitUntil: 'networkidle' });
  // No page may be wider than its window.
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (overflow > 0) problems.push(`${path} at ${width} is ${overflow} pixels too wide`);
  return page;
}

const picture = async (page, name, fullPage = false) => {
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage });
  await page.close();
};

try {
  await picture(await open('/'), 'home');
  await picture(await open('/concepts.html'), 'concepts', true);
  await picture(await open('/concepts.html', { dark: true }), 'concepts-dark', true);
  await picture(await open('/techniques/'), 'techniques');
  await picture(await open('/techniques/gptq.html'), 'technique', true);
  await picture(await open('/techniques/gptq.html', { dark: true }), 'technique-dark');
  await picture(await open('/techniques/awq.html', { width: 390, height: 844 }), 'technique-narrow');
  await picture(await open('/tutorials/first-compression.html'), 'tutorial', true);
  await picture(await open('/tutorials/first-plugin.html', { width: 390, height: 844, dark: true }), 'tutorial-narrow-dark', true);
  await picture(await open('/reference/architecture.html'), 'architecture', true);
  await picture(await open('/api/core-technique.html'), 'api');
  await picture(await open('/reference/errors.html', { width: 390, height: 844 }), 'errors-narrow');

  const page = await open('/techniques/gptq.html');
  await page.click('#local-search button');
  await page.fill('.search-input', 'act-order');
  await page.waitForSelector('.VPLocalSearchBox .result', { timeout: 10_000 }).catch(() => problems.push('the search finds nothing for act-order'));
  const first = await page.locator('.VPLocalSearchBox .result').first().getAttribute('href');
  console.log(`search for act-order: ${await page.locator('.VPLocalSearchBox .result').count()} results, the first ${first}`);
  await picture(page, 'search');
} finally {
  await browser.close();
  close();
}
for (const problem of new Set(problems)) console.error(problem);
console.log(`${folder}: ${problems.length === 0 ? 'no complaints' : `${problems.length} complaints`}`);
process.exitCode = problems.length === 0 ? 0 : 1;
