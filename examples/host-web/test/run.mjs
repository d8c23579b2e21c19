// npm run test:browser [-- --model tales-7m]: builds the page and tests it in Chromium, with a tiny model or, for minutes, with the page's own.
// Needs the packages to be built ("npm run build").
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findChromium } from '../../../chromium.mjs';

const example = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const { model = 'tiny' } = parseArgs({ options: { model: { type: 'string' } } }).values;
const run = (...args) => spawnSync(process.execPath, args, { cwd: example, stdio: 'inherit', env: { ...process.env, PARE_PAGE_TEST: model } }).status ?? 1;

if (!['tiny', 'tales-7m'].includes(model)) {
  console.error(`--model is tiny or tales-7m, not ${model}.`);
  process.exit(2);
}
if (findChromium() === undefined) {
  console.error('The browser tests need Chromium, which is not here. Debian and Ubuntu: apt-get install chromium libvulkan1. Elsewhere set PARE_CHROMIUM to its path.');
  process.exit(1);
}
const built = run('build.mjs');
const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
process.exit(built === 0 ? run(vitest, 'run', '--root', example) : built);
