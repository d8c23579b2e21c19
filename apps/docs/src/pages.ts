import { documents, readText } from '@pare/checks';
import { apiPages } from './api-reference.js';
import { siteMarkdown } from './markdown.js';
import { titleOf, type Page } from './page.js';
import { kindPages, pluginPackages, pluginPages } from './plugin-pages.js';
import { routeOf } from './routes.js';

/** Every page of the site, ready for the renderer. @param scratch a folder for what lies between */
export async function sitePages(scratch: string): Promise<Page[]> {
  const packages = await pluginPackages();
  const generated = [...pluginPages(packages), ...kindPages(packages)];
  const taken = new Set(generated.map(({ route }) => route));
  const written = documents().flatMap((source): Page[] => {
    const route = routeOf(source);
    // The README of the repository leads into it; the site has a front page of its own.
    return route === undefined || taken.has(route) || source === 'README.md' ? [] : [{ route, source, markdown: readText(source) }];
  });
  const pages = [...generated, ...written, decisionList(written)];
  const known = new Set(pages.map(({ route }) => route));
  return [...pages.map((page) => ({ ...page, markdown: siteMarkdown(page.source, page.route, page.markdown, known) })), ...(await apiPages(scratch))];
}

function decisionList(pages: readonly Page[]): Page {
  const route = 'project/decisions/index';
  const items = pages.filter((page) => page.route.startsWith('project/decisions/')).map((page) => `- [${titleOf(page.markdown)}](/${page.route})`);
  return { route, source: '', markdown: `# Decisions\n\nChoices that others must know, with the reasons.\n\n${items.join('\n')}\n` };
}
