import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A package of this repository. */
export interface WorkspacePackage {
  /** `@pare/core` */
  readonly name: string;
  /** `packages/core` */
  readonly path: string;
  readonly directory: string;
  readonly manifest: PackageManifest;
}

/** The fields of a package.json that the checks read. */
export interface PackageManifest {
  readonly name: string;
  readonly version?: string;
  readonly description?: string;
  readonly license?: string;
  readonly type?: string;
  readonly private?: boolean;
  readonly engines?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly files?: readonly string[];
  readonly bin?: Readonly<Record<string, string>>;
  readonly keywords?: readonly string[];
  readonly pare?: { readonly kind?: string; readonly api?: number };
  readonly publishConfig?: { readonly access?: string; readonly provenance?: boolean };
  readonly nx?: { readonly tags?: readonly string[] };
}

/** Root of the repository. */
export const root = resolve(fileURLToPath(new URL('../../..', import.meta.url)));

/** Folders that hold packages. */
const groups = ['packages', 'plugins', 'apps', 'tools'];

/** All packages of the workspace, sorted by path. */
export function workspacePackages(base: string = root): WorkspacePackage[] {
  return groups.flatMap((group) => {
    const folder = join(base, group);
    if (!existsSync(folder)) return [];
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, 'package.json')))
      .map((entry) => {
        const directory = join(folder, entry.name);
        const manifest = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as PackageManifest;
        return { name: manifest.name, path: `${group}/${entry.name}`, directory, manifest };
      });
  });
}

/** Folders never looked into. */
const skipped = new Set(['node_modules', 'dist', 'out-tsc', 'test-results', '.git', '.nx', '.cache', 'fixtures', 'coverage', 'out', 'bench-results']);

/** Files below a folder whose path passes the filter, relative to the repository, sorted. */
export function sourceFiles(folder: string, accept: (path: string) => boolean, base: string = root): string[] {
  const start = join(base, folder);
  if (!existsSync(start)) return [];
  const found: string[] = [];
  const visit = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (skipped.has(entry.name)) continue;
      const path = join(directory, entry.name);
      if (entry.isDirectory()) visit(path);
      else if (entry.isFile() && accept(relative(base, path))) found.push(relative(base, path));
    }
  };
  visit(start);
  return found.sort();
}

/** A file of the repository as text. */
export function readText(path: string, base: string = root): string {
  return readFileSync(join(base, path), 'utf8');
}
