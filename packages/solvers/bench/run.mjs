/* Bundles the benchmark from source and runs it, so that no build is needed. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';

const folder = await mkdtemp(path.join(os.tmpdir(), 'pare-bench-'));
const file = path.join(folder, 'solver.mjs');
try {
  await build({ entryPoints: [path.join(import.meta.dirname, 'solver.ts')], outfile: file, bundle: true, format: 'esm', platform: 'neutral', conditions: ['@pare/source'], logLevel: 'warning' });
  process.exitCode = spawnSync(process.execPath, [file, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1;
} finally {
  await rm(folder, { recursive: true });
}
