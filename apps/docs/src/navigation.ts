import { titleOf, type Page } from './page.js';

/** An entry of the site's side bar, in the shape that VitePress takes. */
export interface SidebarItem {
  readonly text: string;
  readonly link?: string;
  readonly collapsed?: boolean;
  readonly items?: readonly SidebarItem[];
}

interface Section {
  readonly text: string;
  readonly collapsed: boolean;
  /** Routes in their order; one that ends in `/` stands for all pages below it, by title, its index first. Those that do not exist are left out. */
  readonly routes: readonly string[];
}

const sections: readonly Section[] = [
  { text: 'Start', collapsed: false, routes: ['concepts', 'tutorials/first-compression', 'tutorials/first-plugin', 'tutorials/host-app', 'tutorials/new-architecture'] },
  { text: 'Guides', collapsed: false, routes: ['guide/recipes', 'guide/cookbook', 'guide/'] },
  { text: 'Techniques', collapsed: false, routes: ['techniques/'] },
  { text: 'Presets', collapsed: true, routes: ['presets/'] },
  { text: 'Evaluators', collapsed: true, routes: ['evaluators/'] },
  { text: 'Formats', collapsed: true, routes: ['formats/'] },
  { text: 'Backends', collapsed: true, routes: ['backends/'] },
  { text: 'Architectures', collapsed: true, routes: ['architectures/'] },
  { text: 'Reference', collapsed: true, routes: ['reference/command', 'reference/options', 'reference/errors', 'reference/bad-input', 'reference/architecture', 'reference/'] },
  { text: 'API', collapsed: true, routes: ['api/'] },
  { text: 'Libraries', collapsed: true, routes: ['packages/'] },
  { text: 'Examples', collapsed: true, routes: ['examples/'] },
  { text: 'Results', collapsed: true, routes: ['results/'] },
  { text: 'Project', collapsed: true, routes: ['project/contributing', 'project/decisions/'] },
];

/** The side bar for all pages. @throws when a page is in no section: readers could not find it */
export function sidebarOf(pages: readonly Page[]): SidebarItem[] {
  const byRoute = new Map(pages.map((page) => [page.route, page]));
  const placed = new Set(['index']);
  const bar = sections.flatMap((section): SidebarItem[] => {
    const found = section.routes.flatMap((route) => (route.endsWith('/') ? below(pages, route) : byRoute.has(route) ? [route] : []));
    const routes = [...new Set(found)].filter((route) => !placed.has(route));
    for (const route of routes) placed.add(route);
    if (routes.length === 0) return [];
    const items = routes.map((route) => ({ text: route.endsWith('/index') ? 'Overview' : titleOf(byRoute.get(route)!.markdown).replaceAll('`', '').replace(/^@pare\//, ''), link: `/${route.replace(/index$/, '')}` }));
    return [{ text: section.text, collapsed: section.collapsed, items }];
  });
  const lost = pages.filter(({ route }) => !placed.has(route));
  if (lost.length > 0) throw new Error(`pages in no section of the navigation: ${lost.map(({ route }) => route).join(', ')}`);
  return bar;
}

function below(pages: readonly Page[], folder: string): string[] {
  const found = pages.filter(({ route }) => route.startsWith(folder));
  // Decisions have numbers in their names; other pages are found by what they are called.
  const key = ({ route, markdown }: Page): string => (route === `${folder}index` ? '' : folder.startsWith('project/') ? route : titleOf(markdown).toLowerCase());
  return found.sort((a, b) => (key(a) < key(b) ? -1 : 1)).map(({ route }) => route);
}
