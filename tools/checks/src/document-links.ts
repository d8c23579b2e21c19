import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { documents } from './documents.js';
import { withoutBlocks } from './fenced-blocks.js';
import { headingsOf } from './headings.js';
import { readText, root } from './workspace.js';

/** A link of a document: `[text](target)` or an image. */
export interface DocumentLink {
  readonly line: number;
  readonly text: string;
  readonly target: string;
}

/** A link or an image of a markdown text: `!` for an image, text, target. */
export const linkPattern = /(!?)\[((?:[^[\]]|\[[^\]]*\])*)\]\(([^()\s]+(?:\([^()]*\))?)\)/g;

/** Links of a markdown text outside code. */
export function linksOf(markdown: string): DocumentLink[] {
  return withoutBlocks(markdown)
    .split('\n')
    .flatMap((line, index) => [...line.replaceAll(/`[^`]*`/g, (code) => code.replaceAll(/[[\]()]/g, '·')).matchAll(linkPattern)].map((match) => ({ line: index + 1, text: match[2]!, target: match[3]! })));
}

/** True for what leads out of the repository. */
export function isExternal(target: string): boolean {
  return /^[a-z][a-z+.-]*:/i.test(target);
}

/** The file that a link of a document points at, relative to the root, and the anchor in it. */
export function resolveLink(document: string, target: string): { readonly path: string; readonly anchor: string } {
  const [file = '', anchor = ''] = target.split('#');
  return { path: file === '' ? document : normalize(join(dirname(document), file)).replace(/\/$/, ''), anchor };
}

/** Links of one document that lead nowhere. Pages of the site are linked from its root (`/techniques/gptq`), and its build checks those. */
export function deadLinks(document: string, markdown: string): string[] {
  return linksOf(markdown).flatMap(({ line, target }) => {
    if (isExternal(target) || target.startsWith('/')) return [];
    const { path, anchor } = resolveLink(document, target);
    const where = `${document}:${String(line)}: ${target}`;
    if (!existsSync(join(root, path))) return [`${where}: there is no ${path}`];
    if (anchor === '' || !path.endsWith('.md')) return [];
    return headingsOf(path === document ? markdown : readText(path)).some((heading) => heading.anchor === anchor) ? [] : [`${where}: ${path} has no heading with this anchor`];
  });
}

/** Links of all documents that lead nowhere in the repository. */
export function checkDocumentLinks(): string[] {
  return documents().flatMap((document) => deadLinks(document, readText(document)));
}
