import { createTree } from '@nx/devkit/testing';
import { ESLint } from 'eslint';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
// By name, as Nx does: the declarations of plain JavaScript lie in dist.
// eslint-disable-next-line @nx/enforce-module-boundaries
import * as generators from '@pare/nx';

const root = resolve(fileURLToPath(new URL('../../..', import.meta.url)));
const require = createRequire(join(root, 'package.json'));
const kinds = ['technique', 'evaluator', 'backend', 'format', 'architecture'] as const;

/** The files that a generator reads and changes. */
function workspace(): ReturnType<typeof createTree> {
  const tree = createTree();
  tree.write('tsconfig.json', JSON.stringify({ files: [], references: [] }));
  for (const path of ['packages/core/package.json', 'packages/runtime/package.json']) tree.write(path, readFileSync(join(root, path), 'utf8'));
  return tree;
}

describe('generators', () => {
  let folder: string;
  const written = new Map<string, string>();

  // A workspace beside the real one, so that generated packages never show up in it.
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'pare-nx-'));
    for (const file of ['tsconfig.base.json', 'vitest.shared.ts']) copyFileSync(join(root, file), join(folder, file));
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'dir');
    const tree = workspace();
    for (const kind of kinds) generators[kind](tree, { name: 'my-sample', title: "O'Neill's <sample>", summary: `${kind}: it's "quoted" & so on.`, skipInstall: true });
    generators.technique(tree, { name: 'my-quantizer', template: 'quantize', skipInstall: true });
    for (const change of tree.listChanges()) {
      if (!change.path.startsWith('plugins/')) continue;
      const text = change.content!.toString('utf8');
      written.set(change.path, text);
      mkdirSync(dirname(join(folder, change.path)), { recursive: true });
      writeFileSync(join(folder, change.path), text);
    }
    expect(JSON.parse(tree.read('tsconfig.json', 'utf8')!)).toMatchObject({ references: [...kinds.map((kind) => `${kind}-my-sample`), 'technique-my-quantizer'].map((name) => ({ path: `./plugins/${name}` })) });
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('fill in every name', () => {
    for (const [path, text] of written) {
      expect(path).not.toContain('.template');
      expect(text, path).not.toMatch(/\{\{|\}\}$|undefined-|&#\d+;|&amp;/);
    }
    expect(written.get('plugins/technique-my-sample/src/index.ts')).toContain(String.raw`title: 'O\'Neill\'s <sample>'`);
    expect(written.get('plugins/format-my-sample/README.md')).toContain('| `folder` | string | `"my-sample"` |');
  });

  it.each(kinds)('write a complete manifest: %s', (kind) => {
    const manifest = JSON.parse(written.get(`plugins/${kind}-my-sample/package.json`)!) as Record<string, unknown>;
    expect(manifest).toMatchObject({
      name: `@pare/${kind}-my-sample`,
      license: 'Apache-2.0',
      keywords: ['pare-plugin'],
      pare: { kind, api: 1 },
      nx: { tags: expect.arrayContaining(['layer:plugin', `kind:${kind}`]) as unknown },
    });
  });

  it('compile', () => {
    // Against what the packages were built to, as with project references.
    const config = { extends: './tsconfig.base.json', compilerOptions: { composite: false, declaration: false, declarationMap: false, noEmit: true, customConditions: [] }, include: ['plugins/*/src'] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const output = run(require.resolve('typescript/bin/tsc'), ['-p', folder], folder);
    expect(output).toBe('');
  }, 120_000);

  it('have nothing for lint to say', async () => {
    const eslint = new ESLint({ cwd: root });
    for (const [path, text] of written) {
      if (!path.endsWith('.ts')) continue;
      const [result] = await eslint.lintText(text, { filePath: join(root, path) });
      expect(result!.messages.map(({ line, message }) => `${path}:${String(line)}: ${message}`)).toEqual([]);
    }
  }, 60_000);

  // The others come from the same templates as those of create-pare-plugin, which `npm run test:authors` tests from tarballs.
  it.each(['technique-my-sample', 'technique-my-quantizer', 'format-my-sample'])('pass their own tests: %s', (name) => {
    const directory = join(folder, `plugins/${name}`);
    run(join(dirname(require.resolve('vitest/package.json')), 'vitest.mjs'), ['run', '--root', directory], directory);
    const report = JSON.parse(readFileSync(join(directory, 'test-results/results.json'), 'utf8')) as { numPassedTests: number; numTotalTests: number; success: boolean };
    expect(report.success).toBe(true);
    expect(report.numPassedTests).toBeGreaterThanOrEqual(10);
    expect(report.numPassedTests).toBe(report.numTotalTests);
  }, 120_000);

  it.each(['My-method', 'my_method', '-x', 'a--b', '../x', ''])('refuse "%s" as an id', (name) => {
    expect(() => generators.technique(workspace(), { name })).toThrowError('is no id');
  });

  it('never write over a package', () => {
    const tree = workspace();
    generators.technique(tree, { name: 'x', skipInstall: true });
    expect(() => generators.technique(tree, { name: 'x', skipInstall: true })).toThrowError('exists already');
  });
});

/** Runs a Node script and returns what it printed; fails the test with its output when it fails. */
function run(script: string, args: readonly string[], cwd: string): string {
  try {
    return execFileSync(process.execPath, [script, ...args], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${stdout}\n${stderr}`);
  }
}
