import { isPareError, type Plugin } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLock, formatLock, hashCode, hashFolder, lockFileName, parseLock, pluginCode, requireLock, type CodedPlugin, type LockablePlugin, type PluginCode } from './index.js';

let cwd: string;
let file: string;

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'pare-lock-'));
  file = join(cwd, lockFileName);
});

afterEach(async () => {
  await rm(cwd, { recursive: true, force: true });
});

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(cwd, path)), { recursive: true });
  await writeFile(join(cwd, path), text);
}

/** An installed package with one technique. */
async function installed(name: string, { version = '1.0.0', bundled = false, code = 'export default 1;\n', dependencies = {} } = {}): Promise<LockablePlugin> {
  await write(`node_modules/${name}/package.json`, JSON.stringify({ name, version, dependencies }));
  await write(`node_modules/${name}/dist/index.js`, code);
  return { id: name.replace('pare-', ''), kind: 'technique', package: name, version, folder: join(cwd, 'node_modules', name), bundled, source: `plugins[0] (${name})` };
}

async function lock(...plugins: readonly LockablePlugin[]): Promise<void> {
  await writeFile(file, formatLock(await createLock(plugins)));
}

/** What a run is told about its plugins; undefined when they are the locked ones. */
async function answer(...plugins: readonly LockablePlugin[]): Promise<{ message: string; help: string } | undefined> {
  try {
    await requireLock(defaultFiles, file, plugins);
    return undefined;
  } catch (error) {
    if (!isPareError(error)) throw error;
    expect(error.code).toBe('PARE_PLUGIN_LOCK_BROKEN');
    return { message: error.message.replaceAll(cwd, '.'), help: error.help };
  }
}

describe('a plugin lock', () => {
  it('holds versions, plugins and hashes, in an order of its own, and fits what was locked', async () => {
    const a = await installed('pare-a', { dependencies: { library: '^1' } });
    const b = await installed('pare-b', { bundled: true });
    await installed('library', { version: '1.4.0' });
    await lock(b, a);
    const { packages } = parseLock(await defaultFiles.readText(file), file);
    const hash = expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string;
    expect(packages).toEqual({
      'pare-a': { version: '1.0.0', plugins: ['technique "a"'], integrity: hash, dependencies: { 'library@1.4.0': hash } },
      'pare-b': { version: '1.0.0', plugins: ['technique "b"'], integrity: hash },
    });
    expect(formatLock(await createLock([a, b]))).toBe(await defaultFiles.readText(file));
    expect(await answer(a, b)).toBeUndefined();
  });

  it('refuses a changed file, by name, with both hashes', async () => {
    const plugin = await installed('pare-a');
    await lock(plugin);
    await installed('pare-a', { code: 'export default 2;\n' });
    const told = await answer(plugin);
    expect(told?.message).toMatch(/^plugins are not those of \.\/pare-plugins\.lock\.json:\n {2}pare-a: locked 1\.0\.0 sha256:[0-9a-f]{64}; found 1\.0\.0 sha256:[0-9a-f]{64}$/);
    expect(told?.help).toBe('Install pare-a@1.0.0 again. If the change is wanted, "pare plugins lock" writes the lock anew.');
  });

  it.each([
    ['added', (): Promise<void> => write('node_modules/pare-a/dist/more.js', '')],
    ['removed', (): Promise<void> => rm(join(cwd, 'node_modules/pare-a/dist/index.js'))],
    ['renamed', (): Promise<void> => defaultFiles.rename(join(cwd, 'node_modules/pare-a/dist/index.js'), join(cwd, 'node_modules/pare-a/dist/main.js'))],
  ])('refuses a file that was %s', async (_, change) => {
    const plugin = await installed('pare-a');
    await lock(plugin);
    await change();
    expect((await answer(plugin))?.message).toContain('pare-a: locked 1.0.0 sha256:');
  });

  it('refuses a changed version', async () => {
    await lock(await installed('pare-a'));
    const told = await answer(await installed('pare-a', { version: '1.0.1' }));
    expect(told?.message).toContain('\n  pare-a: locked version 1.0.0; found version 1.0.1');
    expect(told?.help).toContain('Install pare-a@1.0.0.');
  });

  it('refuses a plugin that is missing and one too many, together', async () => {
    await lock(await installed('pare-a'), await installed('pare-b'));
    const told = await answer(await installed('pare-b'), await installed('pare-c', { version: '3.0.0' }));
    expect(told?.message).toContain('\n  pare-c: locked nothing; found version 3.0.0 with technique "c"');
    expect(told?.message).toContain('\n  pare-a: locked version 1.0.0 with technique "a"; found nothing');
    expect(told?.help).toBe('Take pare-c out of the plugins. Install pare-a@1.0.0 and add it to the plugins. If the change is wanted, "pare plugins lock" writes the lock anew.');
  });

  it('refuses a dependency of a dependency that changed, and one that came in', async () => {
    const plugin = await installed('pare-a', { dependencies: { library: '1' } });
    await installed('library', { dependencies: { deep: '1' } });
    await installed('deep');
    await lock(plugin);
    await installed('deep', { code: 'steal();\n' });
    expect((await answer(plugin))?.message).toMatch(/\n {2}pare-a: locked deep@1\.0\.0 sha256:\w+; found deep@1\.0\.0 sha256:\w+$/);
    await installed('deep', { version: '1.1.0' });
    expect((await answer(plugin))?.message).toMatch(/pare-a: locked deep@1\.0\.0 sha256:\w+; found no dependency deep@1\.0\.0\n.*found deep@1\.1\.0 sha256:\w+$/);
  });

  it('refuses plugins that came as values, and two packages of one name', async () => {
    const plugin = await installed('pare-a');
    await lock(plugin);
    const loose = { ...plugin, id: 'inline', package: undefined, version: undefined, folder: undefined, source: 'plugins[1]' };
    await expect(createLock([plugin, loose])).rejects.toThrow(/plugins\[1\]: found technique "inline", which came as a value/);
    expect((await answer(plugin, loose))?.message).toContain('plugins[1]: locked nothing; found technique "inline", which came as a value');
    const twin = { ...plugin, folder: join(cwd, 'elsewhere') };
    expect((await answer(plugin, twin))?.message).toContain('pare-a: locked one package of this name; found another one in ./elsewhere beside ./node_modules/pare-a');
  });

  it('refuses a file that is no lock, and one that is not there', async () => {
    const refused = async (text: string): Promise<string> => {
      await writeFile(file, text);
      return requireLock(defaultFiles, file, []).then(
        () => '',
        (error: unknown) => (isPareError(error) ? `${error.code} ${error.message}` : String(error)),
      );
    };
    expect(await refused('{')).toMatch(/^PARE_PLUGIN_LOCK_INVALID .* is no plugin lock: no JSON: /);
    expect(await refused('[]')).toContain('no object');
    expect(await refused('{ "lockfileVersion": 2 }')).toContain('lockfileVersion is 2; this host reads version 1');
    expect(await refused('{ "lockfileVersion": 1 }')).toContain('packages is no object');
    expect(await refused('{ "lockfileVersion": 1, "packages": { "pare-a": { "version": "1.0.0" } } }')).toContain('packages["pare-a"] lacks version, plugins or integrity');
    await rm(file);
    await expect(requireLock(defaultFiles, file, [])).rejects.toMatchObject({ code: 'PARE_FILE_UNREADABLE', message: expect.stringContaining('"pare plugins lock" writes one') as string });
  });
});

describe('hashFolder', () => {
  it('is the same wherever a package lies, whatever stands in its node_modules and history', async () => {
    await write('a/index.js', 'x');
    await write('a/lib/one.js', 'y');
    const hash = await hashFolder(defaultFiles, join(cwd, 'a'));
    await write('b/lib/one.js', 'y');
    await write('b/index.js', 'x');
    await write('b/node_modules/other/index.js', 'z');
    await write('b/.git/HEAD', 'z');
    expect(await hashFolder(defaultFiles, join(cwd, 'b'))).toBe(hash);
    // Bytes cannot wander from one file to the next.
    await write('b/index.js', 'xl');
    expect(await hashFolder(defaultFiles, join(cwd, 'b'))).not.toBe(hash);
  });

  it('reads what a link leads to', async () => {
    await write('outside.js', 'one');
    await write('a/index.js', 'x');
    await symlink(join(cwd, 'outside.js'), join(cwd, 'a/linked.js'));
    const hash = await hashFolder(defaultFiles, join(cwd, 'a'));
    await write('outside.js', 'two');
    expect(await hashFolder(defaultFiles, join(cwd, 'a'))).not.toBe(hash);
  });
});

describe('the code of a plugin', () => {
  const plugin: Plugin = { $$type: '@pare/preset', id: 'a', api: 1, title: 'A', summary: 'a', recipe: { version: 1, stages: [{ technique: 'rtn' }] } };
  const value: CodedPlugin = { id: 'a', kind: 'preset', package: undefined, version: undefined, folder: undefined, bundled: false, source: 'plugins[0]', plugin };
  const hashed = (): Promise<string> => hashCode(defaultFiles, join(cwd, 'node_modules/pare-a'));

  it('is its files, and the names and versions of what it depends on', async () => {
    await installed('pare-a', { dependencies: { library: '^1' } });
    await installed('library', { version: '1.4.0' });
    const first = await hashed();
    await write('node_modules/library/dist/index.js', 'export default 2;\n');
    expect(await hashed()).toBe(first);
    await installed('library', { version: '1.4.1' });
    const second = await hashed();
    expect(second).not.toBe(first);
    await write('node_modules/pare-a/table.json', '[]');
    expect(await hashed()).not.toBe(second);
  });

  it('is code alone where somebody works on it, that of linked libraries included', async () => {
    await write('work/package.json', JSON.stringify({ name: 'work', version: '1.0.0', dependencies: { library: '^1' } }));
    await write('work/src/index.ts', 'export default 1;\n');
    await write('library/package.json', JSON.stringify({ name: 'library', version: '1.0.0' }));
    await write('library/index.js', 'export default 1;\n');
    await mkdir(join(cwd, 'work/node_modules'));
    await symlink('../../library', join(cwd, 'work/node_modules/library'));
    const hash = (): Promise<string> => hashCode(defaultFiles, join(cwd, 'work'));
    const first = await hash();
    await write('work/out/model.safetensors', 'weights');
    await write('work/out/pare.json', '{}');
    await write('work/.cache/index.js', 'x');
    expect(await hash()).toBe(first);
    await write('work/src/index.ts', 'export default 2;\n');
    const second = await hash();
    expect(second).not.toBe(first);
    await write('library/index.js', 'export default 2;\n');
    expect(await hash()).not.toBe(second);
  });

  it('is named by the release of what an application brought along, and by a hash otherwise', async () => {
    const own: CodedPlugin = { ...(await installed('pare-a')), plugin };
    const code = (loaded: CodedPlugin): Promise<PluginCode> => pluginCode([loaded, { ...value, id: 'other' }], [`${loaded.kind}:${loaded.id}`], []);
    expect(await code({ ...own, bundled: true })).toEqual({ names: { 'technique a': 'pare-a 1.0.0' }, known: true });
    expect(await code(own)).toEqual({ names: { 'technique a': expect.stringMatching(/^pare-a 1\.0\.0 sha256:[0-9a-f]{16}$/) as string }, known: true });
    expect(await code({ ...own, folder: join(cwd, 'absent') })).toEqual({ names: { 'technique a': expect.stringMatching(/^pare-a 1\.0\.0 source:/) as string }, known: false });
    const [one, two] = await Promise.all([() => 1, () => 2].map((plan) => code({ ...value, plugin: { ...plugin, plan } as Plugin })));
    expect(one).toEqual({ names: { 'preset a': expect.stringMatching(/^unpackaged source:[0-9a-f]{16}$/) as string }, known: false });
    expect(two!.names).not.toEqual(one!.names);
  });
});
