import { createHost } from '@pare/runtime';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { npmReason } from './npm.js';
import { installInProject, projectPlugins, removeFromProject } from './project.js';
import { defaultStoreFolder } from './store-folder.js';
import { presetText, writeFiles, writePackage } from './testing.js';
import { UserStore, type InstallOptions } from './user-store.js';

/** npm takes its time on a machine that has other work. */
vi.setConfig({ testTimeout: 120_000 });

let cwd: string;
let store: UserStore;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'pare-store-'));
  store = new UserStore(join(cwd, 'store'));
});

afterAll(async () => {
  await rm(cwd, { recursive: true, force: true });
});

const install = (spec: string, changes: Partial<InstallOptions> = {}): ReturnType<UserStore['install']> => store.install({ spec, cwd, taken: [], seconds: 5, ...changes });

/** A plugin that needs its own version of a library, which its tarball brings along. */
async function withLibrary(id: string, version: string): Promise<string> {
  const folder = join(cwd, id);
  await writePackage(folder, {
    name: `pare-${id}`,
    code: `import { answer } from 'shared-library';\nexport default ${presetText(id, { summary: 'answer' })};`,
    manifest: { dependencies: { 'shared-library': version }, bundleDependencies: ['shared-library'] },
  });
  await writePackage(join(folder, 'node_modules/shared-library'), { name: 'shared-library', version, code: `export const answer = 'library ${version}';`, manifest: { pare: undefined } });
  return folder;
}

describe('UserStore', () => {
  it('installs from a folder and a tarball, with a version of a library for each', async () => {
    await withLibrary('one', '1.0.0');
    const two = await withLibrary('two', '2.0.0');
    await promisify(execFile)('npm', ['pack', '--silent', '--pack-destination', cwd], { cwd: two, shell: process.platform === 'win32' });
    const first = await install('./one');
    expect(first).toMatchObject({ package: 'pare-one', version: '1.0.0', plugins: [{ kind: 'preset', id: 'one' }], replaced: undefined });
    await rm(join(cwd, 'one'), { recursive: true });
    await install('pare-two-1.0.0.tgz');
    const installed = await store.list();
    expect(installed.map((plugin) => plugin.package)).toEqual(['pare-one', 'pare-two']);

    await using host = await createHost({ plugins: installed.map(({ reference }) => reference) });
    expect(host.plugins.map(({ id, summary, package: name, version }) => [id, summary, name, version])).toEqual([
      ['one', 'library 1.0.0', 'pare-one', '1.0.0'],
      ['two', 'library 2.0.0', 'pare-two', '1.0.0'],
    ]);
    expect(await readdir(store.folder)).toEqual(['pare-one', 'pare-two']);
  });

  it('puts another version in the place of one that is there, and removes it', async () => {
    // Trying it out imports the host's own core, which nobody installs for it.
    const code = `import { definePreset } from '@pare/core';\nexport default definePreset(${presetText('x')});`;
    const scoped = (version: string): Promise<string> => writePackage(join(cwd, 'scoped'), { name: '@mine/pare-x', version, code, manifest: { peerDependencies: { '@pare/core': '^0.1.0' } } });
    await scoped('1.0.0');
    await install('./scoped');
    await scoped('1.1.0');
    expect(await install(join(cwd, 'scoped'))).toMatchObject({ version: '1.1.0', replaced: '1.0.0' });
    expect((await store.list()).find((plugin) => plugin.package === '@mine/pare-x')?.version).toBe('1.1.0');
    expect((await store.remove('@mine/pare-x')).version).toBe('1.1.0');
    await expect(store.remove('pare-oen')).rejects.toMatchObject({ code: 'PARE_PLUGIN_NOT_INSTALLED', help: 'Did you mean "pare-one"? Installed there: pare-one, pare-two.' });
  });

  it('installs over what is left of a plugin, and removes it', async () => {
    const before = await readdir(store.folder);
    await writePackage(join(cwd, 'mended'), { name: '@mine/pare-mended', code: `export default ${presetText('mended')};` });
    const place = join(store.folder, '@mine+pare-mended');
    for (const files of [{ 'left.txt': '' }, { 'pare-plugin.json': '{ "package": "@mine/pare-mended" }' }]) {
      await rm(place, { recursive: true, force: true });
      await writeFiles(place, files);
      expect(await install('./mended')).toMatchObject({ package: '@mine/pare-mended', replaced: undefined });
      expect(await readdir(place)).not.toContain('left.txt');
      expect((await store.list()).map((plugin) => plugin.package)).toContain('@mine/pare-mended');
    }
    for (const record of ['{', '{ "package": "pare-one", "plugins": [] }']) {
      await writeFiles(place, { 'pare-plugin.json': record });
      expect(await store.remove('@mine/pare-mended')).toMatchObject({ package: '@mine/pare-mended', plugins: [] });
      expect(await readdir(store.folder)).toEqual(before);
    }
    await expect(store.remove('..')).rejects.toMatchObject({ code: 'PARE_PLUGIN_NOT_INSTALLED' });
  });

  it('takes its folder from where the process is', () => {
    expect(new UserStore('plugins').folder).toBe(resolve('plugins'));
  });

  it('stays as it was when anything is wrong', async () => {
    const before = await readdir(store.folder);
    await writePackage(join(cwd, 'looping'), { name: 'pare-looping', code: 'for (;;);' });
    await writePackage(join(cwd, 'twin'), { name: 'pare-twin', code: `export default ${presetText('one')};` });
    await writeFile(join(cwd, 'broken.tgz'), 'no archive');
    await expect(install('./looping', { seconds: 1 })).rejects.toThrow(/pare-looping: found a module that blocks the process while it loads/);
    await expect(install('./twin')).rejects.toThrow(/pare-twin: found preset id "one", which pare-one has already/);
    await expect(install('broken.tgz')).rejects.toMatchObject({ code: 'PARE_PLUGIN_INSTALL_FAILED', message: expect.stringMatching(/^broken\.tgz was not installed: /) as string });
    await expect(install('./nowhere')).rejects.toThrow(/there is no file or folder/);
    await expect(install('./store')).rejects.toThrow(/no package\.json/);
    await expect(install('two words')).rejects.toThrow(/no package name and no path/);
    await expect(install('./twin', { env: { PATH: cwd } })).rejects.toMatchObject({ code: 'PARE_NPM_MISSING', message: 'pare plugins install needs npm, and there is none on the PATH' });
    await expect(install('./twin', { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    expect(await readdir(store.folder)).toEqual(before);
    const fresh = new UserStore(join(cwd, 'fresh'));
    await expect(fresh.install({ spec: 'broken.tgz', cwd, taken: [] })).rejects.toMatchObject({ code: 'PARE_PLUGIN_INSTALL_FAILED' });
    expect(await readdir(cwd)).not.toContain('fresh');
  });

  it('leaves a plugin that went bad out of a host, with a warning that names it', async () => {
    const damaged = new UserStore(join(cwd, 'damaged'));
    await writePackage(join(damaged.folder, 'pare-bad/node_modules/pare-bad'), { name: 'pare-bad', code: `throw new Error('damaged');` });
    const wanting = `{ ...${presetText('wants')}, deps: { moon: { id: 'test.moon' } } }`;
    await writePackage(join(damaged.folder, 'pare-wants/node_modules/pare-wants'), { name: 'pare-wants', code: `export default ${wanting};` });
    for (const name of ['pare-bad', 'pare-wants']) await writeFiles(damaged.folder, { [`${name}/pare-plugin.json`]: JSON.stringify({ package: name, version: '1.0.0', plugins: [] }) });
    const references = [...(await store.list()), ...(await damaged.list())].map(({ reference }) => reference);
    const warnings: string[] = [];
    const ignore = (): void => undefined;
    const logger = { debug: ignore, info: ignore, error: ignore, warn: (text: string): void => void warnings.push(text) };
    await using host = await createHost({ plugins: references, logger });
    expect(host.plugins.map(({ id }) => id)).toEqual(['one', 'two']);
    expect(warnings).toEqual([
      expect.stringMatching(/^left out plugins\[2\] \(pare-bad\): found a package that throws while it loads: Error: damaged/),
      expect.stringMatching(/^left out plugins\[3\] \(pare-wants\) export "default"\.deps\.moon: found service "test\.moon", which nothing provides; allowed: provided services: .*Add a factory for "test\.moon"/),
    ]);
    await expect(createHost({ plugins: references.map((reference) => ({ ...reference, optional: false })) })).rejects.toThrow(/\.deps\.moon: found service "test\.moon", which nothing provides/);
  });
});

describe('a project', () => {
  it('gets a plugin as a dependency and in its list, and loses both', async () => {
    const project = join(cwd, 'project');
    await expect(installInProject(project, { spec: '../scoped', cwd: project, taken: [] })).rejects.toThrow(/no package\.json; make one with "npm init", or install for yourself with --user/);
    await writeFiles(project, { 'package.json': '{\n\t"name": "project",\n\t"private": true,\n\t"pare": { "note": "kept" }\n}\n' });
    await writePackage(join(cwd, 'mine'), { name: 'pare-mine', code: `export default ${presetText('mine')};` });
    const { reference } = await installInProject(project, { spec: '../mine', cwd: project, taken: [] });
    expect(reference).toEqual({ package: 'pare-mine', from: project });
    const text = await readFile(join(project, 'package.json'), 'utf8');
    expect(text).toContain('\n\t"dependencies"');
    expect(JSON.parse(text)).toMatchObject({ dependencies: { 'pare-mine': expect.any(String) as string }, pare: { note: 'kept', plugins: ['pare-mine'] } });
    await using host = await createHost({ plugins: await projectPlugins(project), cwd: project });
    expect(host.plugins.map(({ id }) => id)).toEqual(['mine']);

    await writePackage(join(cwd, 'rival'), { name: 'pare-rival', code: `export default ${presetText('mine')};` });
    await expect(installInProject(project, { spec: '../rival', cwd: project, taken: [] })).rejects.toThrow(/pare-rival: found preset id "mine", which pare-mine has already/);
    expect((await projectPlugins(project)).map((plugin) => plugin.package)).toEqual(['pare-mine']);
    expect(await installInProject(project, { spec: '../mine', cwd: project, taken: [] })).toMatchObject({ package: 'pare-mine', replaced: '1.0.0' });

    await expect(removeFromProject(project, 'pare-mien')).rejects.toMatchObject({ code: 'PARE_PLUGIN_NOT_INSTALLED' });
    await removeFromProject(project, 'pare-mine');
    expect(JSON.parse(await readFile(join(project, 'package.json'), 'utf8'))).toEqual({ name: 'project', private: true, pare: { note: 'kept' } });
    expect(await projectPlugins(project)).toEqual([]);
  });
});

describe('npmReason', () => {
  it('keeps what says something', () => {
    expect(npmReason('npm error code E404\nnpm error 404 Not Found\nnpm error A complete log of this run can be found in: /x\n')).toBe('code E404; 404 Not Found');
  });
});

describe('defaultStoreFolder', () => {
  it.each([
    [{ PARE_PLUGINS: '/p', XDG_DATA_HOME: '/x' }, 'linux', '/p'],
    [{ XDG_DATA_HOME: '/x' }, 'linux', '/x/pare/plugins'],
    [{ XDG_DATA_HOME: 'relative' }, 'linux', expect.stringMatching(/\.local.share.pare.plugins$/) as string],
    [{}, 'darwin', expect.stringMatching(/Application Support.pare.plugins$/) as string],
  ])('%j on %s', (environment, platform, folder) => {
    expect(defaultStoreFolder(environment, platform)).toEqual(folder);
  });
});
