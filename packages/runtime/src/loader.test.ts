import { defineArchitecture, definePreset, defineTechnique, noOptions, type Plugin } from '@pare/core';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { HostPluginEntry } from './host-types.js';
import { loadPlugins, type LoadResult } from './loader.js';

function technique(id: string, extra: Record<string, unknown> = {}): Plugin {
  return {
    ...defineTechnique({
      id,
      api: 1,
      title: id,
      summary: `the technique ${id}`,
      family: 'quantization',
      scope: 'tensor',
      options: z.strictObject({ bits: z.int().default(4) }),
      accepts: ['dense'],
      produces: ['dense'],
      plan: () => [],
      apply: () => Promise.resolve(),
    }),
    ...extra,
  } as Plugin;
}

let cwd = '';

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'pare-loader-'));
});

afterAll(async () => {
  await rm(cwd, { recursive: true });
});

async function install(name: string, files: Record<string, string>, packageJson: Record<string, unknown> = {}, below = '.'): Promise<void> {
  const folder = join(cwd, below, 'node_modules', name);
  for (const [file, content] of Object.entries({
    ...files,
    'package.json': JSON.stringify({ name, version: '1.2.3', type: 'module', exports: './index.js', ...packageJson }),
  })) {
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await writeFile(join(folder, file), content);
  }
}

const load = (...plugins: HostPluginEntry[]): Promise<LoadResult> => loadPlugins(plugins, { cwd, timeoutSeconds: 2 });

const source = (id: string, extra = ''): string => `{
  $$type: '@pare/preset', id: '${id}', api: 1, title: '${id}', summary: 'a preset',
  recipe: { version: 1, stages: [{ technique: 'rtn' }] }, ${extra} }`;

describe('entries', () => {
  it('are flattened, and falsy ones dropped', async () => {
    const { plugins, problems } = await load(technique('a'), false, [null, [technique('b'), undefined]], []);
    expect(problems).toEqual([]);
    expect(plugins.map(({ id, source: from, kind, api }) => [id, from, kind, api])).toEqual([
      ['a', 'plugins[0]', 'technique', 1],
      ['b', 'plugins[2][1][0]', 'technique', 1],
    ]);
  });

  it('carry package and version when they come packaged', async () => {
    const { plugins } = await load({ plugin: [technique('a'), technique('b')], package: '@pare/x', version: '0.1.0' });
    expect(plugins.map(({ id, package: name, version, source: from }) => [id, name, version, from])).toEqual([
      ['a', '@pare/x', '0.1.0', 'plugins[0] (@pare/x)[0]'],
      ['b', '@pare/x', '0.1.0', 'plugins[0] (@pare/x)[1]'],
    ]);
  });

  it('may be names of packages, with plugins as default, in a list, or by name', async () => {
    await install('pare-several', {
      'index.js': `const one = ${source('one')}; export default [one]; export { one }; export const two = ${source('two')}; export const helper = { $$type: '@pare/statistic', id: 'x' };`,
    });
    const { plugins, problems } = await load('pare-several');
    expect(problems).toEqual([]);
    expect(plugins.map(({ id, package: name, version }) => [id, name, version])).toEqual([
      ['one', 'pare-several', '1.2.3'],
      ['two', 'pare-several', '1.2.3'],
    ]);
  });

  it('are found with import conditions and by relative path, TypeScript included', async () => {
    await install('pare-import-only', { 'esm.js': `export default ${source('import-only')};` }, { exports: { '.': { import: './esm.js' } } });
    await writeFile(join(cwd, 'local.ts'), `const id: string = 'local'; export const local = ${source('local')};`);
    const { plugins, problems } = await load('pare-import-only', './local.ts');
    expect(problems).toEqual([]);
    expect(plugins.map(({ id }) => id)).toEqual(['import-only', 'local']);
  });
});

describe('references', () => {
  const reference = (name: string, optional = false): HostPluginEntry => ({ package: name, from: join(cwd, 'stores', name), optional });
  const stored = (name: string, code: string): Promise<void> => install(name, { 'index.js': code }, {}, join('stores', name));

  it('are looked up from their own folders, with their own packages around them', async () => {
    for (const version of ['1', '2']) {
      await stored(`pare-v${version}`, `import { answer } from 'library'; export default ${source(`v${version}`, `paper: answer`)};`);
      await install('library', { 'index.js': `export const answer = '${version}';` }, {}, join('stores', `pare-v${version}`));
    }
    const { plugins, problems } = await load(reference('pare-v1'), reference('pare-v2'));
    expect(problems).toEqual([]);
    expect(plugins.map(({ id, plugin }) => [id, (plugin as { paper?: string }).paper])).toEqual([
      ['v1', '1'],
      ['v2', '2'],
    ]);
    expect(plugins[0]).toMatchObject({ folder: join(cwd, 'stores/pare-v1/node_modules/pare-v1'), bundled: false, source: 'plugins[0] (pare-v1) export "default"' });
  });

  it('that are optional are left out with a warning when something is wrong with them', async () => {
    await stored('pare-bad', `throw new Error('no licence');`);
    await stored('pare-twin', `export default ${source('twin')};`);
    await stored('pare-old', `export default ${source('old', 'api: 7')};`);
    const twin = definePreset({ id: 'twin', api: 1, title: 'T', summary: 's', recipe: { version: 1, stages: [{ technique: 'rtn' }] } });
    const { plugins, problems, warnings } = await load(twin, ...['pare-bad', 'pare-twin', 'pare-old'].map((name) => reference(name, true)));
    expect(plugins.map(({ source: from }) => from)).toEqual(['plugins[0]']);
    expect(problems).toEqual([]);
    expect(warnings.map(({ path }) => path)).toEqual(['plugins[1] (pare-bad)', 'plugins[3] (pare-old) export "default".api', 'plugins[2] (pare-twin) export "default"']);
    expect(warnings[2]).toMatchObject({ found: 'preset id "twin", which plugins[0] has already' });
  });
});

describe('problems', () => {
  it('of every plugin are reported together, each with its place', async () => {
    await install('pare-throws', { 'index.js': `throw new Error('no licence');` });
    await install('pare-hangs', { 'index.js': `await new Promise(() => {}); export default {};` });
    await install('pare-empty', { 'index.js': `export const answer = 42;` });
    const { problems, plugins } = await load(
      technique('fine'),
      technique('Not-Kebab', { api: 2 }),
      'pare-missing',
      'pare-throws',
      'pare-hangs',
      'pare-empty',
      (() => technique('uncalled')) as never,
      { $$type: '@pare/technik' } as never,
      42 as never,
    );
    expect(plugins.map(({ id }) => id)).toEqual(['fine']);
    const byPath = new Map(problems.map((problem) => [problem.path, problem]));
    expect([...byPath.keys()].sort()).toEqual([
      'plugins[1].api',
      'plugins[1].id',
      'plugins[2] (pare-missing)',
      'plugins[3] (pare-throws)',
      'plugins[4] (pare-hangs)',
      'plugins[5] (pare-empty)',
      'plugins[6]',
      'plugins[7].$$type',
      'plugins[8]',
    ]);
    expect(byPath.get('plugins[1].api')).toMatchObject({ found: '2', allowed: '1, the plugin API of this host' });
    expect(byPath.get('plugins[1].api')?.fix).toContain('made for plugin API 2');
    expect(byPath.get('plugins[2] (pare-missing)')?.fix).toContain('npm install pare-missing');
    expect(byPath.get('plugins[3] (pare-throws)')?.found).toContain('no licence');
    expect(byPath.get('plugins[4] (pare-hangs)')?.found).toContain('2 s');
    expect(byPath.get('plugins[5] (pare-empty)')?.found).toContain('answer');
    expect(byPath.get('plugins[6]')?.fix).toContain('Call the function');
  });

  it('name functions, lists and schemas that a plugin lacks', async () => {
    const paths = async (plugin: unknown): Promise<string[]> => (await load(plugin as Plugin)).problems.map(({ path }) => path.replace('plugins[0].', ''));
    expect(await paths(technique('a', { apply: undefined, family: 'magic', scope: 'world', accepts: [], title: '' }))).toEqual(['title', 'apply', 'family', 'scope', 'accepts']);
    expect(await paths(technique('a', { scope: 'model' }))).toEqual(['restructure']);
    expect(await paths(technique('a', { check: true }))).toEqual(['check']);
    expect(await paths(technique('a', { options: undefined }))).toEqual(['options']);
    expect(await paths(technique('a', { options: { '~standard': { version: 1, vendor: 'old', validate: () => ({ value: {} }) } } }))).toEqual(['options']);
    expect(await paths(technique('a', { options: z.strictObject({ n: z.bigint() }) }))).toEqual(['options']);
    expect(await paths(technique('a', { options: z.string() }))).toEqual(['options']);
    expect(await paths(technique('a', { options: noOptions }))).toEqual([]);
    expect(await paths({ $$type: '@pare/evaluator', id: 'e', api: 1, title: 'E', summary: 's', options: noOptions })).toEqual(['evaluate', 'data', 'metrics']);
    const metrics = [{ name: 'm', unit: '', direction: 'lower', summary: 's' }];
    const evaluator = { $$type: '@pare/evaluator', id: 'e', api: 1, title: 'E', summary: 's', options: noOptions, metrics, evaluate: () => undefined };
    expect(await paths({ ...evaluator, data: 'items', original: 'optional' })).toEqual([]);
    expect(await paths({ ...evaluator, data: 'images', original: 'always' })).toEqual(['data', 'original']);
    expect(await paths({ $$type: '@pare/backend', id: 'b', api: 1, title: 'B', summary: 's', options: noOptions })).toEqual(['score', 'create']);
    expect(await paths({ $$type: '@pare/format', id: 'f', api: 1, title: 'F', summary: 's', options: noOptions })).toEqual(['refuse', 'write', 'verify', 'accepts']);
    expect(await paths({ $$type: '@pare/architecture', id: 'l', api: 1, title: 'L', summary: 's', modelTypes: [1] })).toEqual(['describe', 'modelTypes']);
    expect(await paths(definePreset({ id: 'p', api: 1, title: 'P', summary: 's', recipe: { version: 1, stages: [] } }))).toEqual(['recipe']);
  });

  it('include two plugins with one id, and two architectures for one model type', async () => {
    const architecture = (id: string): Plugin => defineArchitecture({ id, api: 1, title: id, summary: id, modelTypes: ['llama'], describe: () => ({}) as never });
    const { problems } = await load(technique('same'), [technique('same')], architecture('one'), architecture('two'));
    expect(problems.map(({ path, found }) => [path, found])).toEqual([
      ['plugins[1][0]', 'technique id "same", which plugins[0] has already'],
      ['plugins[3]', 'model type "llama", which plugins[2] has already'],
    ]);
  });

  it('do not include one id in two kinds', async () => {
    const preset = definePreset({ id: 'same', api: 1, title: 'P', summary: 's', recipe: { version: 1, stages: [{ technique: 'same' }] } });
    expect((await load(technique('same'), preset)).problems).toEqual([]);
  });
});
