import { root } from '@pare/checks';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { sidebarOf } from './navigation.js';
import type { Page } from './page.js';
import { sitePages } from './pages.js';

/** Folders of this package. */
export const app = join(root, 'apps/docs');
export const output = join(app, 'out');
/** The built site. */
export const site = join(output, 'site');

/** Writes all pages where the renderer looks for them, and the navigation beside them. */
export async function writePages(): Promise<readonly Page[]> {
  const folder = join(output, 'pages');
  rmSync(folder, { recursive: true, force: true });
  const pages = await sitePages(join(output, 'api'));
  const sidebar = sidebarOf(pages);
  for (const { route, markdown } of pages) {
    const file = join(folder, `${route}.md`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, markdown);
  }
  cpSync(join(app, 'public'), join(folder, 'public'), { recursive: true });
  writeFileSync(join(output, 'sidebar.json'), JSON.stringify(sidebar));
  return pages;
}

/** Renders the pages that `writePages` wrote, into static files. Nothing is fetched. */
export async function renderSite(): Promise<void> {
  const { build } = await import('vitepress');
  await build(app);
}
