import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { blockProblems, shellProblem } from './code-blocks.js';
import { deadLinks, linksOf } from './document-links.js';
import { fencedBlocks, fileOf, withoutBlocks } from './fenced-blocks.js';
import { headingsOf, sectionOf } from './headings.js';
import { publishedBytes } from './release.js';
import { shellCommands } from './shell-lines.js';
import { missingSections } from './technique-readmes.js';

describe('fenced blocks', () => {
  const text = '# T\n```ts [a.ts]\nconst a = 1;\n```\nprose\n````md\n```sh\nx\n```\n````\n';
  it('have a language, what follows it, and a line', () => {
    const blocks = fencedBlocks('d.md', text);
    expect(blocks).toEqual([
      { document: 'd.md', line: 3, end: 4, language: 'ts', info: '[a.ts]', text: 'const a = 1;' },
      { document: 'd.md', line: 7, end: 10, language: 'md', info: '', text: '```sh\nx\n```' },
    ]);
    expect(blocks.map(fileOf)).toEqual(['a.ts', undefined]);
    expect(withoutBlocks(text)).toBe('# T\n\n\n\nprose\n\n\n\n\n\n');
    expect(withoutBlocks('```text\n```\nprose')).toBe('\n\nprose');
  });
});

describe('shell blocks', () => {
  it('are split into commands and words', () => {
    expect(shellCommands('A=1 B=2 npm run bench -- x # why\ncd a && pare plan "./my model" \\\n  --set x=\'y z\'\n# only a comment\n')).toEqual([
      ['npm', 'run', 'bench', '--', 'x'],
      ['cd', 'a'],
      ['pare', 'plan', './my model', '--set', 'x=y z'],
    ]);
  });
  it.each([
    ['pare compress ./m --recipe gptq-w4 --output ./o', undefined],
    ['npx pare plan ./m --recpie x', 'has no option --recpie'],
    ['npm run demo', undefined],
    ['npm run dmeo', 'no script "dmeo"'],
    ['node tools/demo.mjs --x', undefined],
    ['node tools/no.mjs', 'no such file'],
    ['npm ci', undefined],
    ['rm -rf /', 'nothing checks this'],
  ])('%s', async (line, problem) => {
    const found = await shellProblem(line.split(' '), 'README.md', { demo: '' });
    if (problem === undefined) expect(found).toBeUndefined();
    else expect(found).toContain(problem);
  });
});

describe('blocks of other languages', () => {
  const host = { resolveRecipe: () => Promise.reject(new Error('not asked')) };
  const problemsOf = (markdown: string) => blockProblems(fencedBlocks('apps/docs/pages/tutorials/x.md', markdown)[0]!, host, {});
  it.each([
    ['```yaml\nversion: 1\nstages: [{ technique: mine }]\n```', undefined],
    ['```yaml\nversion: 2\n```', 'PARE_RECIPE_INVALID'],
    ['```json\n{ "a": 1 }\n```', undefined],
    ['```json\n{ a: 1 }\n```', 'SyntaxError'],
    ["```js\nimport a from 'a';\nexport const b = await a();\n```", undefined],
    ['```js\nconst a = ;\n```', 'is no JavaScript'],
    ['```\nx\n```', 'has no language'],
    ['```yaml\non: push\n```', undefined],
    ['```rust\nx\n```', 'which no check knows'],
  ])('%j', async (markdown, problem) => {
    const found = (await problemsOf(markdown)).join('\n');
    if (problem === undefined) expect(found).toBe('');
    else expect(found).toContain(problem);
  });
});

describe('links', () => {
  it('are found outside code', () => {
    expect(linksOf('[a](b.md#c) `[x](y)` [`d`](e)\n```sh\n[f](g)\n```\n![i](j.svg)').map(({ target }) => target)).toEqual(['b.md#c', 'e', 'j.svg']);
  });
  it('lead to files and headings that exist', () => {
    const text = '# A b\n[1](#a-b) [2](#c) [3](../README.md#pare) [4](../README.md#x) [5](nowhere.md) [6](https://arxiv.org) [7](/page)';
    expect(deadLinks('docs/recipes.md', text)).toEqual([
      'docs/recipes.md:2: #c: docs/recipes.md has no heading with this anchor',
      'docs/recipes.md:2: ../README.md#x: README.md has no heading with this anchor',
      'docs/recipes.md:2: nowhere.md: there is no docs/nowhere.md',
    ]);
  });
});

describe('headings', () => {
  it('have the anchors that forges give them', () => {
    expect(headingsOf('# A `b` (c)\n## PARE_X\n## PARE_X\n```sh\n# no\n```').map(({ anchor }) => anchor)).toEqual(['a-b-c', 'pare_x', 'pare_x-1']);
  });
  it('delimit sections', () => {
    const readme = '# T\n\n## When to use it\n\nAlways.\n\n### Or\n\nnever\n\n## Limits\n\n## Paper\n\np\n';
    expect(sectionOf(readme, 'When to use it')).toBe('Always.\n\n### Or\n\nnever');
    expect(missingSections(readme)).toEqual(['Why it works', 'Limits']);
  });
});

describe('sizes of packages', () => {
  it('are those of the files that are published', () => {
    const folder = mkdtempSync(join(tmpdir(), 'pare-size-'));
    try {
      mkdirSync(join(folder, 'dist/deep'), { recursive: true });
      for (const [file, bytes] of [['dist/a.js', 10], ['dist/deep/b.js', 20], ['dist/x.tsbuildinfo', 400], ['README.md', 3], ['package.json', 5], ['src.ts', 800]] as const) writeFileSync(join(folder, file), 'x'.repeat(bytes));
      expect(publishedBytes(folder, { files: ['dist', '!dist/*.tsbuildinfo', 'README.md'] })).toBe(38);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
