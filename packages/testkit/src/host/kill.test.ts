import { build } from 'esbuild';
import { spawn } from 'node:child_process';
import { mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { folderHashes, tinyModel } from '../index.js';

const here = dirname(fileURLToPath(import.meta.url));
// Inside the package, so that what is not bundled is found in the workspace's node_modules.
const child = join(here, '..', '..', 'out-tsc', 'kill-child.mjs');

let folder: Awaited<ReturnType<typeof tinyModel>>;
let expected: Record<string, string>;

/** Runs the child, and kills it once it has said so many lines, or a certain line. Returns what it said. */
function run(output: string, options: { resume?: boolean; killAfter?: number | string } = {}): Promise<{ lines: string[]; killed: boolean; code: number | null }> {
  return new Promise((resolve, reject) => {
    const process_ = spawn(process.execPath, [child, folder.model, output, ...(options.resume === true ? ['resume'] : [])], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    process_.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const { killAfter } = options;
      const lines = text.split('\n');
      if (typeof killAfter === 'number' ? lines.length > killAfter : killAfter !== undefined && lines.includes(killAfter)) process_.kill('SIGKILL');
    });
    process_.on('error', reject);
    process_.on('close', (code, signal) => {
      resolve({ lines: text.trim().split('\n'), killed: signal === 'SIGKILL', code });
    });
  });
}

beforeAll(async () => {
  await mkdir(dirname(child), { recursive: true });
  await build({
    entryPoints: [join(here, '..', '..', 'test', 'kill-child.ts')],
    outfile: child,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    conditions: ['@pare/source'],
    external: ['jiti', 'koffi', 'onnxruntime-node', 'webgpu', '@huggingface/*'],
    // tsyringe is CommonJS and asks for its helpers with require.
    banner: { js: `import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);` },
    logLevel: 'error',
  });
  folder = await tinyModel('llama');
  const output = folder.join('expected');
  expect((await run(output)).code).toBe(0);
  expected = await folderHashes(output);
});

afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});

describe('kill -9', () => {
  it.each([
    ['within the first block', 4, 0],
    ['within the second block', 12, 1],
    ['at the end of the first stage', 17, 2],
  ])('%s costs only the work in hand', async (name, killAfter, restored) => {
    const output = folder.join(name.replaceAll(' ', '-'));
    const first = await run(output, { killAfter });
    expect(first.killed).toBe(true);
    const second = await run(output, { resume: true });
    expect(second.code).toBe(0);
    // What is said and what is on disk differ by one block at most: the kill may come right after the rename.
    expect(Number(/restored (\d+)/.exec(second.lines.at(-1)!)![1])).toBeGreaterThanOrEqual(restored);
    expect(await folderHashes(output)).toEqual(expected);
  });

  it.each(['format:start', 'format:done'])('at %s leaves no half output, and the next run clears up', async (event) => {
    const name = event.replace(':', '-');
    const output = folder.join(name);
    expect((await run(output, { killAfter: event })).killed).toBe(true);
    const left = (await readdir(folder.path)).filter((entry) => entry.startsWith(name));
    expect(left).toEqual([`${name}.pare-journal`, expect.stringMatching(/\.pare-partial-\d+$/)]);
    expect((await run(output, { resume: true })).code).toBe(0);
    expect(await folderHashes(output)).toEqual(expected);
    expect((await readdir(folder.path)).filter((entry) => entry.startsWith(name))).toEqual([name]);
  });
});
