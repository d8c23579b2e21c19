import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { flowchartSvg, parseFlowchart } from './flowchart.js';
import { escapeTags, relativeRoute, siteMarkdown } from './markdown.js';
import { sidebarOf } from './navigation.js';
import { firstSentence } from './plugin-pages.js';
import { folderRoute, routeOf } from './routes.js';
import { deadSiteLinks } from './site-links.js';
import { missingLines, tutorialSteps } from './tutorials.js';

describe('routes', () => {
  it.each([
    ['plugins/technique-svd-llm/README.md', 'techniques/svd-llm'],
    ['docs/decisions/0004-block-streaming-and-journal.md', 'project/decisions/0004-block-streaming-and-journal'],
    ['docs/recipes.md', 'guide/recipes'],
    ['apps/docs/pages/tutorials/host-app.md', 'tutorials/host-app'],
    ['tools/nx/README.md', undefined],
  ])('%s is shown at %s', (document, route) => {
    expect(routeOf(document)).toBe(route);
  });
  it('know folders', () => {
    expect([folderRoute('docs/decisions'), folderRoute('examples/host-web'), folderRoute('packages/core/src')]).toEqual(['project/decisions/index', 'examples/host-web', undefined]);
  });
});

describe('siteMarkdown', () => {
  const known = new Set(['techniques/awq', 'packages/folding', 'guide/recipes']);
  const change = (markdown: string): string => siteMarkdown('plugins/technique-awq/README.md', 'techniques/awq', markdown, known);
  it('turns links between documents into links between pages, and others into text', () => {
    expect(change('[f](../../packages/folding/README.md#x) [`index.ts`](src/index.ts) [`src/model.ts`](src/model.ts) [out](https://arxiv.org)')).toBe(
      '[f](../packages/folding.md#x) `index.ts` (`plugins/technique-awq/src/index.ts`) `src/model.ts` (`plugins/technique-awq/src/model.ts`) [out](https://arxiv.org)',
    );
  });
  it('leaves code alone and drops comments', () => {
    expect(change('<!-- options -->\na <model> `<b>`\n```sh\npare plan <model> # [a](b)\n```\n')).toBe('a &lt;model> `<b>`\n```sh\npare plan <model> # [a](b)\n```\n');
    expect(change('```text\n```\n[f](../../packages/folding/README.md)\n')).toBe('```text\n```\n[f](../packages/folding.md)\n');
    expect(escapeTags('<figure class="x"> {{ a }}')).toBe('<figure class="x"> &#123;&#123; a }}');
  });
  it('links by way of the page that it stands on', () => {
    expect(relativeRoute('techniques/awq', 'techniques/gptq')).toBe('./gptq.md');
    expect(relativeRoute('index', 'guide/recipes')).toBe('./guide/recipes.md');
  });
});

describe('flowcharts', () => {
  const text = 'flowchart TD\n  a[first one] --> b\n  a -. now and then .-> g\n  subgraph g [group]\n    b[second]\n    c\n  end\n  g --> d[last]';
  it('are read', () => {
    const { nodes, edges, groups } = parseFlowchart(text);
    expect([...nodes]).toEqual([['a', 'first one'], ['b', 'second'], ['c', 'c'], ['d', 'last']]);
    expect(edges).toEqual([
      { from: 'a', to: 'b', dashed: false, label: '' },
      { from: 'a', to: 'g', dashed: true, label: 'now and then' },
      { from: 'g', to: 'd', dashed: false, label: '' },
    ]);
    expect([...groups]).toEqual([['g', { label: 'group', members: ['b', 'c'] }]]);
    expect(() => parseFlowchart('a ==> b')).toThrow('cannot read "a ==> b"');
  });
  it('are drawn with every node and edge', () => {
    const svg = flowchartSvg(text);
    expect([...svg.matchAll(/<rect/g)]).toHaveLength(5);
    expect([...svg.matchAll(/<(line|path) /g)]).toHaveLength(3);
    expect(svg).not.toMatch(/NaN|undefined/);
  });
});

describe('navigation', () => {
  const page = (route: string, title: string) => ({ route, source: '', markdown: `# ${title}\n` });
  it('sorts pages into sections by title, overviews first, and loses none', () => {
    expect(sidebarOf([page('techniques/index', 'Techniques'), page('techniques/b', 'B'), page('techniques/z', 'A'), page('index', 'Pare')])).toEqual([
      { text: 'Techniques', collapsed: false, items: [{ text: 'Overview', link: '/techniques/' }, { text: 'A', link: '/techniques/z' }, { text: 'B', link: '/techniques/b' }] },
    ]);
    expect(() => sidebarOf([page('elsewhere/x', 'X')])).toThrow('elsewhere/x');
  });
});

describe('deadSiteLinks', () => {
  it('follows links to pages, files and anchors', () => {
    const folder = mkdtempSync(join(tmpdir(), 'pare-site-'));
    try {
      mkdirSync(join(folder, 'a'));
      writeFileSync(join(folder, 'index.html'), '<a href="/a/one.html#here"></a><a href="a/one#gone"></a><a href="/a/"></a><a href="https://arxiv.org"></a><img src="/no.svg">');
      writeFileSync(join(folder, 'a/one.html'), '<h2 id="here"></h2><a href="../index.html"></a>');
      expect(deadSiteLinks(folder)).toEqual({ checked: 5, dead: ['index.html: a/one#gone: a/one.html has no such anchor', 'index.html: /a/: there is no such page', 'index.html: /no.svg: there is no such page'] });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('tutorials', () => {
  it('are files, commands and outputs', () => {
    expect(tutorialSteps('t.md', '```js [a.mjs]\nx\n```\n```sh fails\nnode a.mjs\n```\n```text output\nno x\n```\n```sh shown\nnpm ci\n```\n')).toEqual([
      { kind: 'file', line: 2, name: 'a.mjs', text: 'x' },
      { kind: 'commands', line: 5, text: 'node a.mjs', fails: true, expected: ['no x'] },
    ]);
    expect(() => tutorialSteps('t.md', '```sh shown\npare plugins\n```')).toThrow('t.md:2: "pare plugins" is shown and could be run');
    expect(() => tutorialSteps('t.md', '```yaml\na: 1\n```')).toThrow('neither a file nor a command');
  });
  it('are compared line by line, in order', () => {
    expect(missingLines('a   1\nb 2 and more\nc', ['a 1', 'b 2', 'x'])).toEqual(['x']);
    expect(missingLines('b\na', ['a', 'b'])).toEqual(['b']);
    expect(missingLines('perplexity  15.44', ['perplexity 15.…', 'perplexity 16.…'])).toEqual(['perplexity 16.…']);
  });
});

describe('firstSentence', () => {
  it('ends at a full stop, not within a number', () => {
    expect(firstSentence('At 0.8 and up, and\nmore. Not this.')).toBe('At 0.8 and up, and more.');
  });
});
