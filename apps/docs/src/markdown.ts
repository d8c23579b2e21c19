import { fencedBlocks, isExternal, linkPattern, resolveLink } from '@pare/checks';
import { posix } from 'node:path';
import { flowchartSvg } from './flowchart.js';
import { folderRoute, routeOf } from './routes.js';

/**
 * A document as the site's renderer needs it: links to documents become links to their pages, other links into the repository plain text, pictures of
 * flowcharts SVG. What looks like HTML and is none (`a <model> b`) is escaped; comments are dropped.
 * @param document where the text is from, relative to the root
 * @param route of the page
 * @param known the routes of all pages
 */
export function siteMarkdown(document: string, route: string, markdown: string, known: ReadonlySet<string>): string {
  return outsideBlocks(document, dropComments(markdown), (prose) => rewriteLinks(escapeTags(prose), document, route, known));
}

/** Applies a function to what lies between fenced blocks; `mermaid` blocks are drawn. */
function outsideBlocks(document: string, markdown: string, change: (prose: string) => string): string {
  const lines = markdown.split('\n');
  const parts: string[] = [];
  let position = 0;
  for (const block of fencedBlocks(document, markdown)) {
    const first = block.line - 2;
    // Nothing is no empty line: a document may begin with a block, and blocks may touch.
    if (first > position) parts.push(change(lines.slice(position, first).join('\n')));
    parts.push(block.language === 'mermaid' ? `<div class="flowchart">\n${flowchartSvg(block.text)}\n</div>\n` : lines.slice(first, block.end).join('\n'));
    position = block.end;
  }
  parts.push(change(lines.slice(position).join('\n')));
  return parts.join('\n');
}

function dropComments(markdown: string): string {
  return markdown.replaceAll(/^<!--.*?-->\n?/gms, '');
}

/** HTML that pages may use. */
const tags = /^<\/?(svg|g|rect|path|text|tspan|line|defs|marker|style|div|span|br|sub|sup|details|summary|img|a|p|table|thead|tbody|tr|td|th|kbd|b|i|figure|figcaption|code)\b/;

/** Angle brackets that are no tags, and `{{`, which templates would fill in. Code between backticks stays. */
export function escapeTags(prose: string): string {
  return prose
    .split(/(`+[^`]*`+)/)
    .map((part, index) => (index % 2 === 1 ? part : part.replaceAll(/<(?=[\w/!‹])[^>\n]*>?/g, (found) => (tags.test(found) || /^<https?:/.test(found) ? found : found.replaceAll('<', '&lt;'))).replaceAll('{{', '&#123;&#123;')))
    .join('');
}

function rewriteLinks(prose: string, document: string, route: string, known: ReadonlySet<string>): string {
  return prose.replaceAll(linkPattern, (whole, image: string, text: string, target: string) => {
    if (image !== '' || isExternal(target) || target.startsWith('/') || target.startsWith('#')) return whole;
    const { path, anchor } = resolveLink(document, target);
    const page = routeOf(path) ?? folderRoute(path);
    if (page === undefined || !known.has(page)) return plain(text, path);
    return `[${text}](${relativeRoute(route, page)}${anchor === '' ? '' : `#${anchor}`})`;
  });
}

/** A link into the repository without an address: the text, with the path where that says something else. */
function plain(text: string, path: string): string {
  return text.replaceAll('`', '').endsWith(path) ? `\`${path}\`` : `${text} (\`${path}\`)`;
}

/** A link from one page to another. */
export function relativeRoute(from: string, to: string): string {
  const path = posix.relative(posix.dirname(from), to);
  return `${path.startsWith('.') ? '' : './'}${path}.md`;
}
