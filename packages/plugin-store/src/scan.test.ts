import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scanPlugins } from './scan.js';

let cwd = '';

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'pare-scan-'));
});

afterEach(async () => {
  await rm(cwd, { recursive: true });
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

  it('leaves out what an application brings along, and lists the package that one stands in', async () => {
    const own = { name: 'pare-technique-own', version: '0.1.0', pare: { kind: 'technique', api: 1 }, dependencies: { b: '*', c: '*' } };
    const write = (more: object): Promise<void> => writeFile(join(cwd, 'package.json'), JSON.stringify({ ...own, ...more }));
    await installed('b', { pare: { kind: 'technique', api: 1 } });
    await installed('c', { pare: { kind: 'technique', api: 1 } });
    const lines = async (): Promise<string[]> => (await scanPlugins(cwd, ['b'])).map(({ configLine }) => configLine);
    await write({ exports: './dist/index.js' });
    expect(await lines()).toEqual([`'pare-technique-own', // technique, API 1`, `'c', // technique, API 1`]);
    await write({ main: 'lib/main.js' });
    expect(await lines()).toEqual([`'./lib/main.js', // technique, API 1`, `'c', // technique, API 1`]);
  });

  it('needs a package.json', async () => {
    await expect(scanPlugins(cwd)).rejects.toMatchObject({ code: 'PARE_FILE_UNREADABLE' });
  });
});
