import { root, workspacePackages } from '@pare/checks';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from './page.js';

interface EntryPoint {
  /** `@pare/graph/node` */
  readonly name: string;
  /** `graph-node` */
  readonly slug: string;
  readonly file: string;
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
  const entries = libraryEntryPoints();
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true });
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
    const entry = entries.find(({ file }) => `${file.slice(root.length + 1).replace(/^packages\//, '').replace(/(\/index)?\.d\.m?ts$/, '')}` === module.name);
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
  const list = entries.map(({ name, slug }) => `- [${name}](./${slug}.md)`).join('\n');
  return [{ route: 'api/index', source: '', markdown: `# API reference\n\nWhat the libraries export, from the declarations that their packages publish.\n\n${list}\n` }, ...pages];
}
