import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { AxeResults, RunOptions } from 'axe-core';
import { chromium, type Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findChromium, quietFlags } from '../../../chromium.mjs';
import { buildReport, parseResult, renderHtml } from './index.js';

/* The pages in a real browser, where colours and sizes are known. Chromium comes from the system: the continuous integration installs it. */

const executablePath = findChromium();
const flags = [...quietFlags, '--disable-gpu'];
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Runs with cached values, fallbacks, layers, values that are missing: every kind of cell. */
async function samplePage(): Promise<string> {
  const evaluated = (model: string, perplexity: number, cached: boolean, recipe?: object): unknown => ({
    model,
    ...(recipe !== undefined && { recipe }),
    backend: 'cpu',
    metrics: { perplexity, bytes: 1000 / perplexity, ...(cached && { klDivergence: 0.1 * perplexity, topOneAgreement: 0.9, klDivergenceMax: 3 }) },
    evaluations: [
      { evaluator: 'perplexity', options: {}, metrics: { perplexity }, seconds: 1, cached },
      { evaluator: 'layer-error', options: {}, metrics: {}, seconds: 1, cached, details: { blocks: Array.from({ length: 6 }, (_, block) => ({ block, local: 0.01 * (block + 1), accumulated: 0.02 * (block + 1) ** 2 })) } },
    ],
  });
  const recipe = (technique: string, bits: number): object => ({ version: 1, name: `${technique}-w${String(bits)}`, stages: [{ technique, options: { bits, groupSize: 64 } }] });
  const documents = [
    evaluated('models/tales', 12.71, true),
    evaluated('models/tales', 12.87, true, recipe('gptq', 4)),
    evaluated('models/tales', 13.02, false, recipe('rtn', 4)),
    evaluated('models/tales', 12.65, true, recipe('gptq', 8)),
    evaluated('models/tales', 19.4, false, recipe('rtn', 2)),
  ];
  return renderHtml(buildReport(documents.map((document, index) => parseResult(document, `${String(index)}.json`))));
}

const pages: readonly (readonly [name: string, html: () => Promise<string>])[] = [
  ['a report with cached values', samplePage],
  ['the example report', () => Promise.resolve(readFileSync(fileURLToPath(new URL('../../../docs/example-report.html', import.meta.url)), 'utf8'))],
];

describe('Chromium', () => {
  it('is there where the checks run that a change must pass', () => {
    expect(executablePath !== undefined || process.env['CI'] === undefined).toBe(true);
  });
});

/** Texts of charts whose colour is less than 4.5 : 1 away from the surface that they stand on (WCAG 2.2, 1.4.3). Runs in the page. */
function svgContrasts(): string[] {
  const channels = (color: string): number[] => (/[\d.]+/g[Symbol.match](color) ?? []).map(Number);
  const luminance = (color: string): number => {
    const [r, g, b] = channels(color).map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const surface = (element: Element): string => {
    const { backgroundColor } = getComputedStyle(element);
    return (channels(backgroundColor)[3] ?? 1) > 0 || element.parentElement === null ? backgroundColor : surface(element.parentElement);
  };
  return [...document.querySelectorAll('svg text')].flatMap((text) => {
    if (text.getClientRects().length === 0 || text.textContent === '') return [];
    const [one, two] = [luminance(getComputedStyle(text).fill), luminance(surface(text.closest('svg')!))];
    const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    return contrast >= 4.5 ? [] : [`${text.textContent}: ${contrast.toFixed(2)}`];
  });
}

if (executablePath !== undefined) {
  describe.each(pages)('%s', (_, html) => {
    let browser: Browser;
    let content: string;
    beforeAll(async () => {
      browser = await chromium.launch({ executablePath, args: flags });
      content = await html();
    }, 60_000);
    afterAll(async () => {
      await browser.close();
    });

    describe.each(['light', 'dark'] as const)('in %s', (colorScheme) => {
      it.each([
        ['wide', 1280],
        ['narrow', 380],
      ])('%s has no finding of axe, colours included, and does not run over its width', async (_name, width) => {
        const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 }, offline: true });
        try {
          const page = await context.newPage();
          const requested: string[] = [];
          page.on('request', (request) => requested.push(request.url()));
          await page.setContent(content);
          // Findings inside folded parts count, too.
          await page.evaluate(() => {
            for (const part of document.querySelectorAll('details')) part.open = true;
          });
          expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)).toBeLessThanOrEqual(0);
          expect(await page.evaluate(svgContrasts)).toEqual([]);
          // Axe judges only what it sees: in the same layout, room for every table, so that nothing lies behind a scrolled edge or a column that stays in place.
          await page.evaluate(() => {
            for (const element of document.querySelectorAll<HTMLElement>('body, .wrap')) Object.assign(element.style, { width: '2600px', maxWidth: 'none' });
            for (const element of document.querySelectorAll<HTMLElement>('.scroll, .scroll th')) Object.assign(element.style, { overflow: 'visible', position: 'static' });
          });
          // Not as a script of the page, which its policy forbids.
          await page.evaluate(axeSource);
          const { violations, incomplete, passes } = await page.evaluate<AxeResults, RunOptions>((options) => (globalThis as unknown as { axe: { run(o: RunOptions): Promise<AxeResults> } }).axe.run(options), {
            resultTypes: ['violations', 'incomplete', 'passes'],
          });
          expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html: text, any }) => `${text}: ${any.map(({ message }) => message).join('; ')}`)])).toEqual([]);
          // Contrast was really computed, and left open only for charts, whose texts are checked above, and for signs that words beside them repeat.
          expect(passes.find(({ id }) => id === 'color-contrast')!.nodes.length).toBeGreaterThan(30);
          const open = incomplete.filter(({ id }) => id === 'color-contrast').flatMap(({ nodes }) => nodes);
          expect(open.filter(({ html: text, any }) => !text.startsWith('<text') && !any.some(({ message }) => message.includes('only non-text characters'))).map(({ html: text, any }) => `${text}: ${any.map(({ message }) => message).join('; ')}`)).toEqual([]);
          expect(requested.filter((url) => !url.startsWith('about:') && !url.startsWith('data:'))).toEqual([]);
        } finally {
          await context.close();
        }
      }, 60_000);
    });
  });
}
