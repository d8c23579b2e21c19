import { root, workspacePackages } from '@pare/checks';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { titleOf, type Page } from './page.js';

interface EntryPoint {
  /** `@pare/graph/node` */
  readonly name: string;
  /** `graph-node` */
  readonly slug: string;
  readonly file: string;
}

/** The areas of `@pare/core`, which would be one page of several thousand lines: the title of each, and the files of its source that it shows. `plugin` has what is in no other as well. */
const coreAreas: Readonly<Record<string, readonly [title: string, ...files: readonly string[]]>> = {
  technique: ['techniques', 'technique', 'each-module', 'breathe', 'removal'],
  evaluator: ['evaluators', 'evaluator', 'predictor'],
  backend: ['backends and graphs', 'backend', 'backend-plugin', 'run-plan', 'graph'],
  format: ['formats', 'format'],
  architecture: ['architectures', 'architecture', 'architecture-plugin', 'config-reader'],
  model: ['models, weights and tensors', 'model', 'weights', 'tensor', 'dtype', 'float16'],
  plugin: ['plugins, options and services', 'plugin', 'any-plugin', 'options', 'service', 'files', 'events', 'recipe'],
  errors: ['errors', 'errors'],
};

/**
 * An entry point for each area of core, in the place of the one that exports them all.
 * @param scratch the folder that they are written to
 * @throws when an area has a file that core has not
 */
function coreEntryPoints({ name, slug, file }: EntryPoint, scratch: string): EntryPoint[] {
  const exported = [...readFileSync(file, 'utf8').matchAll(/^export \* from '\.\/(.+)\.js';$/gm)].map(([, source]) => source!);
  const shown = Object.values(coreAreas).flatMap(([, ...files]) => files);
  const missing = shown.filter((source) => !exported.includes(source));
  if (missing.length > 0) throw new Error(`${name} does not export what the API reference shows of it: ${missing.join(', ')}`);
  const others = exported.filter((source) => !shown.includes(source));
  return Object.entries(coreAreas).map(([area, [title, ...files]]) => {
    const entry = join(scratch, `${slug}-${area}.ts`);
    writeFileSync(entry, [...files, ...(area === 'plugin' ? others : [])].map((source) => `export * from '${join(dirname(file), source)}.js';\n`).join(''));
    return { name: `${name}: ${title}`, slug: `${slug}-${area}`, file: entry };
  });
}

/** What leads from core to its areas: everything that a page explains, by name. */
function areaList(name: string, pages: readonly Page[]): string {
  const areas = pages.map(({ route, markdown }) => {
    const page = `./${route.slice('api/'.length)}.md`;
    const names = [...markdown.matchAll(/^### (\w+)(\\?\(\\?\))?$/gm)].map(([, heading]) => heading!);
    const links = [...new Set(names)].map((heading) => `[\`${heading}\`](${page}#${heading.toLowerCase()})`);
    return `## [${titleOf(markdown).replace(`${name}: `, '')}](${page})\n\n${links.join(', ')}\n`;
  });
  return `# ${name}\n\nThe contracts, by area: what a plugin of each kind is defined by, and what they all speak of. All of it is exported by \`${name}\`.\n\n${areas.join('\n')}`;
}

/** Every entry point of the libraries, with the declarations that it publishes. */
function libraryEntryPoints(): EntryPoint[] {
  return workspacePackages()
    .filter(({ path, manifest }) => path.startsWith('packages/') && manifest.private !== true)
    .flatMap(({ name, path, directory, manifest }) =>
      Object.entries(manifest.exports ?? {}).flatMap(([subpath, target]) => {
        const types = typeof target === 'string' ? undefined : target['types'];
        if (types === undefined) return [];
        const suffix = subpath === '.' ? '' : subpath.slice(1);
        return [{ name: `${name}${suffix}`, slug: `${path.slice('packages/'.length)}${suffix.replaceAll('/', '-')}`, file: join(directory, types) }];
      }),
    );
}

/**
 * Pages of the libraries' exports, one an entry point. They are made from the declarations that are published, not from source: that is what callers see, and a tenth of the work.
 * @param scratch a folder for what lies between
 */
export async function apiPages(scratch: string): Promise<Page[]> {
  const { Application } = await import('typedoc');
  const published = libraryEntryPoints();
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true });
  const core = published.find(({ slug }) => slug === 'core')!;
  const areas = coreEntryPoints(core, scratch);
  const entries = [...published.filter((entry) => entry !== core), ...areas];
  const tsconfig = join(scratch, 'tsconfig.json');
  writeFileSync(
    tsconfig,
    JSON.stringify({
      compilerOptions: { target: 'es2022', lib: ['es2023', 'esnext.disposable', 'dom'], module: 'nodenext', types: ['node'], typeRoots: [join(root, 'node_modules/@types')], strict: true, skipLibCheck: true, noEmit: true },
      files: entries.map(({ file }) => file),
    }),
  );
  const settings = {
    tsconfig,
    entryPoints: entries.map(({ file }) => file),
    plugin: ['typedoc-plugin-markdown'],
    out: join(scratch, 'out'),
    disableSources: true,
    skipErrorChecking: true,
    excludeExternals: true,
    readme: 'none',
    logLevel: 'Error' as const,
    validation: false,
    // Settings of the markdown plugin, which typedoc's types do not know.
    router: 'module',
    hidePageHeader: true,
    hideBreadcrumbs: true,
    useCodeBlocks: true,
    sanitizeComments: true,
    parametersFormat: 'table',
    interfacePropertiesFormat: 'table',
    typeDeclarationFormat: 'table',
    propertyMembersFormat: 'table',
    enumMembersFormat: 'table',
  };
  const app = await Application.bootstrapWithPlugins(settings);
  const project = await app.convert();
  if (project === undefined) throw new Error('typedoc converted nothing');
  // Modules are named by their paths in dist; readers know entry points by their names.
  for (const module of project.children ?? []) {
    const entry = entries.find(({ file }) => file.replace(/(\/index)?(\.d)?\.m?ts$/, '').endsWith(`/${module.name}`));
    if (entry === undefined) throw new Error(`typedoc has a module "${module.name}" that is no entry point; there: ${entries.map(({ file }) => file.slice(root.length + 1)).join(', ')}`);
    module.name = entry.slug;
  }
  await app.outputs.writeOutput({ name: 'markdown', path: settings.out }, project);
  const files = readdirSync(settings.out).filter((file) => file.endsWith('.md') && file !== 'README.md');
  const pages = files.map((file): Page => {
    const slug = file.slice(0, -'.md'.length);
    const { name } = entries.find((entry) => entry.slug === slug)!;
    const text = readFileSync(join(settings.out, file), 'utf8').replace(/^# .*$/m, `# ${name}`);
    return { route: `api/${slug}`, source: '', markdown: text };
  });
  const byRoute = new Map(pages.map((page) => [page.route, page]));
  const overview: Page = { route: `api/${core.slug}`, source: '', markdown: areaList(core.name, areas.map(({ slug }) => byRoute.get(`api/${slug}`)!)) };
  const list = published.map(({ name, slug }) => `- [${name}](./${slug}.md)`).join('\n');
  return [{ route: 'api/index', source: '', markdown: `# API reference\n\nWhat the libraries export, from the declarations that their packages publish.\n\n${list}\n` }, overview, ...pages];
}
