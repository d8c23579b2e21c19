// npm run docs: builds the site, follows every link in it, does what the tutorials say, and plans the recipes of the cookbook. `--pages` builds and follows links only.
import { renderSite, site, writePages } from './build-site.js';
import { cookbookProblems } from './cookbook.js';
import { deadSiteLinks } from './site-links.js';
import { searchProblems } from './site-search.js';
import { runTutorial, tutorials } from './tutorials.js';

const start = performance.now();
const problems: string[] = [];

function say(text: string): void {
  process.stdout.write(`${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);
}

function report(what: string, found: readonly string[]): void {
  problems.push(...found);
  say(`${what}: ${found.length === 0 ? 'fine' : `${String(found.length)} problems`}`);
  for (const problem of found) process.stdout.write(`  ${problem}\n`);
}

async function buildAndCheckLinks(): Promise<void> {
  const pages = await writePages();
  say(`${String(pages.length)} pages written`);
  await renderSite();
  const { checked, dead } = deadSiteLinks(site);
  report(`${String(checked)} links of the site`, dead);
  report('search', await searchProblems(site));
}

async function runExamples(): Promise<void> {
  report('recipes of the cookbook', await cookbookProblems());
  for (const document of tutorials()) report(document, await runTutorial(document));
}

// The site is made by this process alone, tutorials by others: together they use both of two cores.
await (process.argv.includes('--pages') ? buildAndCheckLinks() : Promise.all([buildAndCheckLinks(), runExamples()]));
process.exitCode = problems.length === 0 ? 0 : 1;
