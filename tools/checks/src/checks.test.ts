import { defineTechnique, type OptionsSchema } from '@pare/core';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { errorDocument, unraisedCodes, unsortedCodes } from './error-codes.js';
import { violations } from './forbidden-words.js';
import { missingFromLock } from './lockfile.js';
import { optionsTable, replaceBetween } from './option-tables.js';
import { manifestProblems } from './packages.js';
import { compileSnippets, snippetsOf } from './snippets.js';

describe('error codes', () => {
  it('finds codes that nobody raises and codes out of order', () => {
    expect(unraisedCodes(['PARE_A', 'PARE_B'], [`throw pareError('PARE_A', {})`, '"PARE_B" in a comment'])).toEqual(['PARE_B is in the catalogue and raised nowhere']);
    expect(unsortedCodes(['PARE_A', 'PARE_C', 'PARE_B'])).toEqual(['PARE_B stands behind PARE_C in the catalogue']);
    expect(unsortedCodes(['PARE_A', 'PARE_B'])).toEqual([]);
  });
  it('documents messages with the names of their data', () => {
    const document = errorDocument();
    expect(document).toContain('## PARE_TENSOR_UNKNOWN\n\n‹model› has no tensor "‹tensor›"\n');
    expect(document).not.toMatch(/undefined|NaN|\[object/);
  });
});

describe('option tables', () => {
  const schema = (properties: object): OptionsSchema<unknown> => ({
    '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }), jsonSchema: { input: () => ({ type: 'object', properties }), output: () => ({}) } },
  });
  const technique = (properties: object) =>
    defineTechnique({ id: 'x', api: 1, title: 'X', summary: 'x', family: 'quantization', scope: 'tensor', accepts: [], produces: [], options: schema(properties), plan: () => [], apply: () => Promise.resolve() });
  it('are made from schemas', () => {
    expect(optionsTable(technique({ bits: { type: 'integer', default: 4, description: 'a | b' } }))).toBe(
      '| option | values | default | what it does |\n|---|---|---|---|\n| `bits` | integer | `4` | a \\| b |',
    );
    expect(optionsTable(technique({}))).toBeUndefined();
  });
  it('replace what stands between the markers, or add them', () => {
    expect(replaceBetween('a\n<!-- options -->\nold\n<!-- /options -->\nb\n', 'new')).toBe('a\n<!-- options -->\nnew\n<!-- /options -->\nb\n');
    expect(replaceBetween('# T\n', 'new')).toBe('# T\n\n## Options\n\n<!-- options -->\nnew\n<!-- /options -->\n');
  });
});

describe('manifests', () => {
  const good = {
    name: '@pare/technique-x',
    description: 'x',
    license: 'Apache-2.0',
    type: 'module',
    engines: { node: '>=20.19' },
    exports: { './package.json': './package.json' },
    files: ['dist', '!dist/*.tsbuildinfo'],
    keywords: ['pare-plugin'],
    pare: { kind: 'technique', api: 1 },
    nx: { tags: ['layer:plugin', 'runtime:any', 'kind:technique'] },
  };
  it('accept a complete one', () => {
    expect(manifestProblems(good, 'plugins/technique-x')).toEqual([]);
  });
  it.each([
    [{ license: 'MIT' }, 'license'],
    [{ exports: {} }, './package.json'],
    [{ files: ['!dist/*.tsbuildinfo'] }, 'files lack dist'],
    [{ files: ['dist'] }, 'tsbuildinfo'],
    [{ keywords: [] }, 'pare-plugin'],
    [{ nx: { tags: ['layer:nothing', 'runtime:any', 'kind:technique'] } }, 'layer:'],
    [{ nx: { tags: ['layer:plugin', 'runtime:any', 'kind:format'] } }, 'kind of the "pare" field'],
    [{ engines: { node: '>=18' } }, 'engines'],
  ])('refuse %j', (change, word) => {
    const problems = manifestProblems({ ...good, ...change }, 'plugins/technique-x');
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(word);
  });
});

describe('lock file', () => {
  it('holds what its packages need, platform packages included', () => {
    const lock = { '': { dependencies: { a: '1' } }, 'node_modules/a': { optionalDependencies: { 'a-linux': '1', 'a-mac': '1' } }, 'node_modules/a/node_modules/a-linux': {} };
    expect(missingFromLock(lock)).toEqual(['package-lock.json lacks a-mac, which node_modules/a needs; npm ci will refuse it']);
    expect(missingFromLock({ ...lock, 'node_modules/a-mac': {} })).toEqual([]);
  });
});

describe('forbidden words', () => {
  it.each([
    ['a.ts', '// TO' + 'DO: later'],
    ['a.test.ts', `it.sk${'ip'}('x', () => {})`],
    ['a.ts', `const file = '/wo${'rk'}/main/x';`],
    ['README.md', 'see ../sha' + 'red/design.md'],
  ])('%s: %s', (path, text) => {
    expect(violations(path, `fine\n${text}`)).toEqual([expect.stringMatching(new RegExp(`^${path.replaceAll('.', '\\.')}:2: `))]);
  });
  it('leave ordinary text alone', () => {
    expect(violations('a.test.ts', `it('skips padding', () => {}); // see https://example.org/work/x and the network's homework`)).toEqual([]);
  });
});

describe('snippets', () => {
  let folder: string | undefined;
  afterEach(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true });
    folder = undefined;
  });
  it('are the ts blocks of a document', () => {
    expect(snippetsOf('a.md', 'x\n```ts\nconst a = 1;\n```\n```js\nno\n```\n```typescript\nb\n```\n')).toEqual([
      { document: 'a.md', line: 3, text: 'const a = 1;' },
      { document: 'a.md', line: 9, text: 'b' },
    ]);
    expect(snippetsOf('a.md', '```ts\na\n```\nprose\n```ts continued\nb\nc\n```\n')).toEqual([{ document: 'a.md', line: 2, text: 'a\n\n\n\nb\nc' }]);
  });
  it('are compiled where their document lies', () => {
    folder = mkdtempSync(join(tmpdir(), 'pare-snippets-'));
    mkdirSync(join(folder, 'node_modules/lib'), { recursive: true });
    writeFileSync(join(folder, 'node_modules/lib/package.json'), '{ "name": "lib", "version": "1.0.0", "main": "index.js", "types": "index.d.ts" }');
    writeFileSync(join(folder, 'node_modules/lib/index.d.ts'), 'export declare const answer: number;\n');
    const compile = (text: string): string[] => compileSnippets([{ document: 'docs/a.md', line: 10, text }], folder);
    expect(compile(`import { answer } from 'lib';\nexport const twice: number = 2 * answer;`).filter((problem) => !problem.includes("'node'"))).toEqual([]);
    expect(compile(`import { answer } from 'lib';\nconst text: string = answer;`)).toContain("docs/a.md:11: Type 'number' is not assignable to type 'string'.");
    expect(compile(`import 'missing';`).join()).toContain('docs/a.md:10');
  });
  it('import one another by the names that their document gives them', () => {
    folder = mkdtempSync(join(tmpdir(), 'pare-snippets-'));
    const files = snippetsOf('a.md', "```ts [src/half.ts]\nexport const half = (x: number): number => x / 2;\n```\n```ts [src/index.ts]\nimport { half } from './half.js';\nhalf('1');\n```\n");
    expect(compileSnippets(files, folder)).toContain("a.md:6: Argument of type 'string' is not assignable to parameter of type 'number'.");
  });
});
