import { readFileSync, readdirSync } from 'node:fs';
import { join, posix } from 'node:path';

/** Links and anchors of a built page. */
interface BuiltPage {
  readonly links: readonly string[];
  readonly anchors: ReadonlySet<string>;
}

/** What a page of HTML links to, and the ids in it. */
function readPage(html: string): BuiltPage {
  const attribute = (name: string): string[] => [...html.matchAll(new RegExp(` ${name}="([^"]*)"`, 'g'))].map((match) => match[1]!.replaceAll('&amp;', '&'));
  return { links: [...attribute('href'), ...attribute('src')], anchors: new Set(attribute('id')) };
}

/**
 * Links of a built site that lead nowhere: to files that are not there, or to anchors that their page lacks. Links out of the site are not followed.
 * @param folder of the built site
 */
export function deadSiteLinks(folder: string): { readonly checked: number; readonly dead: string[] } {
  const files = new Set(readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [posix.relative(folder, posix.join(entry.parentPath, entry.name))] : [])));
  const pages = new Map([...files].filter((file) => file.endsWith('.html')).map((file) => [file, readPage(readFileSync(join(folder, file), 'utf8'))]));
  let checked = 0;
  const dead: string[] = [];
  for (const [file, { links }] of pages) {
    for (const link of new Set(links)) {
      if (/^([a-z][a-z+.-]*:|\/\/)/i.test(link) || link === '') continue;
      checked++;
      const [path = '', anchor = ''] = decodeURI(link).split('#');
      const target = path === '' ? file : path.startsWith('/') ? path.slice(1) : posix.join(posix.dirname(file), path);
      const found = [target, posix.join(target, 'index.html'), `${target}.html`].find((candidate) => files.has(candidate));
      if (found === undefined) dead.push(`${file}: ${link}: there is no such page`);
      else if (anchor !== '' && pages.has(found) && !pages.get(found)!.anchors.has(anchor)) dead.push(`${file}: ${link}: ${found} has no such anchor`);
    }
  }
  return { checked, dead };
}
