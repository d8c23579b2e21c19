import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { main } from './main.mjs';
import { pluginKinds, techniqueTemplates } from './plugin-files.mjs';
import { render } from './render.mjs';
import { standaloneFiles, toolchains, type StandaloneSettings } from './standalone-files.mjs';

let cwd: string;
beforeAll(() => {
  cwd = realpathSync(mkdtempSync(join(tmpdir(), 'pare-create-')));
});
afterAll(() => {
  rmSync(cwd, { recursive: true, force: true });
});

async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await main(argv, { stdout: { write: (text) => (out += text) }, stderr: { write: (text) => (err += text) }, cwd, interactive: false });
  return { code, out, err };
}

describe('npm create pare-plugin', () => {
  it('writes a package by flags alone', async () => {
    const { code, out } = await run('mine', '--id', 'my-method', '--kind', 'technique', '--toolchain', 'esbuild', '--license', 'MIT', '--author', 'Ada', '--yes');
    expect({ code, out }).toEqual({ code: 0, out: expect.stringContaining('cd mine\n  npm install\n  npm test') as string });
    expect(readdirSync(join(cwd, 'mine')).sort()).toEqual(['.github', '.gitignore', 'LICENSE', 'README.md', 'package.json', 'src', 'tsconfig.build.json', 'tsconfig.json', 'vitest.config.ts']);
    expect(JSON.parse(readFileSync(join(cwd, 'mine/package.json'), 'utf8'))).toMatchObject({ name: 'pare-technique-my-method', license: 'MIT', author: 'Ada', pare: { kind: 'technique', api: 1 }, keywords: ['pare-plugin'] });
    expect(readFileSync(join(cwd, 'mine/LICENSE'), 'utf8')).toContain(`Copyright (c) ${String(new Date().getFullYear())} Ada`);
  });

  it('writes into an empty folder, even one with a new repository', async () => {
    mkdirSync(join(cwd, 'empty/.git'), { recursive: true });
    expect((await run('empty', '--id', 'x', '-y')).code).toBe(0);
  });

  it('explains itself', async () => {
    const { code, out } = await run('--help');
    expect(code).toBe(0);
    for (const word of [...pluginKinds, ...Object.keys(techniqueTemplates), ...Object.keys(toolchains), 'MIT', '--yes', 'Exit codes']) expect(out).toContain(word);
  });

  it.each([
    [['--kind', 'techniqe', '--id', 'x'], /--kind "techniqe" is unknown\n {2}Did you mean "technique"\? There are: technique, evaluator/],
    [['--toolchain', 'webpack', '--id', 'x'], /There are: tsc, esbuild, tsup, js/],
    [['--license', 'GPL', '--id', 'x'], /There are: Apache-2\.0, MIT, UNLICENSED/],
    [['--id', 'My_Method'], /"My_Method" is no id: use lower-case words joined by dashes/],
    [['--id', 'x', '--package', 'Not A Name'], /is no package name/],
    [['--id', 'x', '--package', 'x'.repeat(215)], /at most 214 characters, this one has 215/],
    [['--id', 'x', '--summary', 'short'], /--summary is no sentence/],
    [['--id', 'x', '--kind', 'format', '--kernel'], /--kernel goes with techniques/],
    [['--id', 'x', '--template', 'prun'], /--template "prun" is unknown\n {2}Did you mean "prune"\? There are: prune, quantize/],
    [['--id', 'x', '--kind', 'format', '--template', 'quantize'], /--template goes with techniques/],
    [['--id', 'x', '--template', 'quantize', '--kernel'], /--kernel goes with --template prune/],
    [['--yes'], /--yes needs --id\n {2}Name the plugin/],
    [[], /has no id, and there is no terminal to ask at/],
    [['--toolchian', 'tsc'], /Unknown option '--toolchian'\n {2}Did you mean "--toolchain"\?/],
    [['a', 'b', '--id', 'x'], /one folder to name, not 2: a, b/],
  ])('refuses %j before it writes anything', async (argv, message) => {
    const before = readdirSync(cwd);
    const { code, err } = await run(...argv);
    expect(code).toBe(2);
    expect(err).toMatch(/^PARE_COMMAND_INVALID /);
    expect(err).toMatch(message);
    expect(readdirSync(cwd)).toEqual(before);
  });

  it('never writes where something is', async () => {
    mkdirSync(join(cwd, 'full'));
    for (const name of ['a', 'b', 'c', 'd']) writeFileSync(join(cwd, 'full', name), '');
    expect((await run('full', '--id', 'x', '-y')).err).toContain('full is not empty: it holds a, b, c and 1 more\n  Nothing was written.');
    expect(readdirSync(join(cwd, 'full'))).toEqual(['a', 'b', 'c', 'd']);
    writeFileSync(join(cwd, 'file'), '');
    expect((await run('file', '--id', 'x', '-y')).err).toContain('file is a file');
  });
});

describe('generated packages', () => {
  const settings = (more: Partial<StandaloneSettings>): StandaloneSettings => ({ kind: 'technique', id: 'my-method', packageName: 'mine', toolchain: 'tsc', license: 'Apache-2.0', author: '', kernel: false, workflow: true, ...more });
  const all = pluginKinds.flatMap((kind) => (['tsc', 'esbuild', 'tsup', 'js'] as const).map((toolchain) => [kind, toolchain] as const));

  it.each(all)('of %s with %s are filled in', (kind, toolchain) => {
    const files = standaloneFiles(settings({ kind, toolchain, kernel: true, title: "O'Neill's <method>" }));
    for (const [path, text] of files) expect(text.replaceAll('${{ matrix.node }}', ''), path).not.toMatch(/\{\{|\}\}$|undefined-|\bnull\b|<%/);
    expect([...files.keys()].some((path) => path.endsWith(toolchain === 'js' ? '.ts' : '.js'))).toBe(false);
    expect(files.has('src/kernels/zero.ts')).toBe(kind === 'technique' && toolchain !== 'js');
    expect(files.get(`src/index.${toolchain === 'js' ? 'js' : 'ts'}`)).toContain(String.raw`title: 'O\'Neill\'s <method>'`);
    const manifest = JSON.parse(files.get('package.json')!) as { pare: unknown; devDependencies: Record<string, string>; publishConfig: unknown };
    expect(manifest).toMatchObject({ pare: { kind, api: 1 }, publishConfig: { provenance: true } });
    expect(Object.keys(manifest.devDependencies)).toEqual(Object.keys(manifest.devDependencies).sort());
  });

  it.each(['tsc', 'esbuild', 'tsup', 'js'] as const)('of quantizers with %s have the libraries that they import among their dependencies, and core among their peers', (toolchain) => {
    const files = standaloneFiles(settings({ template: 'quantize', toolchain, kernel: true }));
    const extension = toolchain === 'js' ? 'js' : 'ts';
    for (const [path, text] of files) expect(text.replaceAll('${{ matrix.node }}', ''), path).not.toMatch(/\{\{|\}\}$|undefined-|\bnull\b|<%/);
    expect(new Set([...files.keys()].filter((path) => path.startsWith('src/')))).toEqual(new Set(['fit-scales', 'index', 'index.test', 'options'].map((name) => `src/${name}.${extension}`)));
    const { dependencies, peerDependencies } = JSON.parse(files.get('package.json')!) as { dependencies: Record<string, string>; peerDependencies: Record<string, string> };
    const imported = [...files].flatMap(([path, text]) => (path.startsWith('src/') && !path.includes('.test.') ? [...text.matchAll(/^import .* from '([^'.]+)';$/gm)].map(([, name]) => name!) : []));
    expect([...Object.keys(peerDependencies), ...Object.keys(dependencies)].sort()).toEqual([...new Set(imported)].sort());
    expect(Object.keys(peerDependencies)).toEqual(['@pare/core']);
    expect(files.get('README.md')).toMatch(/`src\/fit-scales[^]*what holds for every technique/);
  });

  // What the guide explains is what is written, which the tests of the generators of this repository run.
  it('of quantizers are shown in the guide for plugin authors, word for word', () => {
    const guide = readFileSync(new URL('../../../docs/plugin-authors.md', import.meta.url), 'utf8');
    const files = standaloneFiles(settings({ template: 'quantize', id: 'output-scales' }));
    for (const name of ['src/options.ts', 'src/index.ts', 'src/fit-scales.ts']) expect(guide, name).toContain(`\`\`\`ts [${name}]\n${files.get(name)!}\`\`\`\n`);
  });

  it('publish from a tag, with provenance and no token', () => {
    const release = standaloneFiles(settings({})).get('.github/workflows/release.yml')!;
    expect(release).toMatch(/id-token: write[^]*npm publish --provenance/);
    expect(release).not.toContain('secrets.');
    expect([...standaloneFiles(settings({ workflow: false })).keys()].filter((path) => path.startsWith('.github'))).toEqual([]);
  });

  it('have variables that a module can have', () => {
    expect(standaloneFiles(settings({ id: 'delete' })).get('src/index.ts')).toContain('export const deleteTechnique =');
    expect(standaloneFiles(settings({ id: 'options' })).get('src/index.ts')).toContain('export const optionsTechnique =');
  });
});

describe('render', () => {
  const values = { name: 'x', ts: true, yes: true, no: false };

  it('fills in values, sections and types', () => {
    expect(render('a{{: T}} {{name}}{{#no}} gone{{/no}}{{^no}} kept{{/no}}', values)).toBe('a: T x kept');
    expect(render('a{{: T}} b[0]{{!}}', { ...values, ts: false })).toBe('a b[0]');
    expect(render('{{#yes}}\n  one\n{{#no}}\n  two\n{{/no}}\n{{/yes}}\nthree\n', values)).toBe('  one\nthree\n');
    expect(render('${{ matrix.node }}', values)).toBe('${{ matrix.node }}');
  });

  it('knows no others', () => {
    expect(() => render('{{nothing}}', values)).toThrowError('{{nothing}}');
    expect(() => render('{{#nothing}}x{{/nothing}}', values)).toThrowError('{{nothing}}');
  });
});
