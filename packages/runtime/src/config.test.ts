import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from './config.js';

let cwd = '';

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'pare-config-'));
});

afterEach(async () => {
  await rm(cwd, { recursive: true });
});

describe('loadConfig', () => {
  it('gives an empty configuration where there is none', async () => {
    expect(await loadConfig(cwd)).toEqual({ file: undefined, config: {} });
  });

  it.each([
    ['pare.config.ts', `interface A { x: number }\nconst plugins: string[] = ['pare-a'];\nexport default { plugins } satisfies object;`],
    ['pare.config.mts', `export default { plugins: ['pare-a'] as string[] };`],
    ['pare.config.js', `export default { plugins: ['pare-a'] };`],
    ['pare.config.mjs', `export default { plugins: ['pare-a'] };`],
  ])('reads %s', async (name, content) => {
    await writeFile(join(cwd, name), content);
    expect(await loadConfig(cwd)).toEqual({ file: join(cwd, name), config: { plugins: ['pare-a'] } });
  });

  it('prefers TypeScript, and takes another file when it is named', async () => {
    await writeFile(join(cwd, 'pare.config.ts'), `export default { plugins: ['ts'] };`);
    await writeFile(join(cwd, 'pare.config.mjs'), `export default { plugins: ['mjs'] };`);
    expect((await loadConfig(cwd)).config.plugins).toEqual(['ts']);
    expect((await loadConfig(cwd, 'pare.config.mjs')).config.plugins).toEqual(['mjs']);
  });

  it.each([
    ['throws', `throw new Error('broken');`, 'broken'],
    ['exports nothing', `export const plugins = [];`, 'nothing'],
    ['exports a list', `export default [];`, 'a list of 0'],
    ['exports a plugin', `export default { $$type: '@pare/preset', id: 'x' };`, '$$type'],
    ['has other keys', `export default { plugin: [] };`, 'plugin'],
    ['has plugins that are no list', `export default { plugins: 'pare-a' };`, 'pare-a'],
  ])('refuses a file that %s', async (_, content, found) => {
    await writeFile(join(cwd, 'pare.config.mjs'), content);
    await expect(loadConfig(cwd)).rejects.toMatchObject({ code: 'PARE_PLUGINS_INVALID' });
    await expect(loadConfig(cwd)).rejects.toThrow(found);
  });

  it('refuses a file that waits for what never comes', async () => {
    await writeFile(join(cwd, 'pare.config.mjs'), `await new Promise(() => {}); export default {};`);
    await expect(loadConfig(cwd, undefined, 0.1)).rejects.toThrow(/a file that had not loaded after 0\.1 s/);
  });

  it('refuses a named file that is missing', async () => {
    await expect(loadConfig(cwd, 'other.config.ts')).rejects.toMatchObject({ code: 'PARE_FILE_UNREADABLE' });
  });
});
