import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from './config.js';
import { scanPlugins } from './scan.js';

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

  it('refuses a named file that is missing', async () => {
    await expect(loadConfig(cwd, 'other.config.ts')).rejects.toMatchObject({ code: 'PARE_FILE_UNREADABLE' });
  });
});

describe('scanPlugins', () => {
  async function installed(name: string, content: object, folder = cwd): Promise<void> {
    await mkdir(join(folder, 'node_modules', name), { recursive: true });
    await writeFile(join(folder, 'node_modules', name, 'package.json'), JSON.stringify({ name, version: '2.0.0', ...content }));
    await writeFile(join(folder, 'node_modules', name, 'index.js'), `throw new Error('executed');`);
  }

  it('lists direct dependencies that say they are plugins, and executes nothing', async () => {
    const project = join(cwd, 'app');
    await mkdir(project);
    await writeFile(join(project, 'package.json'), JSON.stringify({ dependencies: { b: '*', plain: '*', gone: '*' }, devDependencies: { '@x/a': '*', odd: '*' } }));
    await installed('b', { pare: { kind: 'technique', api: 1 } }, project);
    await installed('plain', {}, project);
    await installed('odd', { pare: { kind: 'gadget', api: 1 } }, project);
    await installed('transitive', { pare: { kind: 'technique', api: 1 } }, project);
    // Hoisted to the folder above, as in a workspace.
    await installed('@x/a', { pare: { kind: 'backend', api: 2 } });
    expect(await scanPlugins(project)).toEqual([
      { package: '@x/a', version: '2.0.0', kind: 'backend', api: 2, configLine: `'@x/a', // backend, API 2` },
      { package: 'b', version: '2.0.0', kind: 'technique', api: 1, configLine: `'b', // technique, API 1` },
    ]);
  });

  it('needs a package.json', async () => {
    await expect(scanPlugins(cwd)).rejects.toMatchObject({ code: 'PARE_FILE_UNREADABLE' });
  });
});
