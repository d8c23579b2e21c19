import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/** The fields of a package.json that matter for plugins. */
export interface PackageManifest {
  readonly name: string;
  readonly version: string;
  readonly exports?: unknown;
  readonly main?: string | undefined;
  readonly pare?: { readonly kind?: string; readonly api?: unknown; readonly plugins?: unknown } | undefined;
  readonly engines?: Readonly<Record<string, string>> | undefined;
  readonly dependencies?: Readonly<Record<string, string>> | undefined;
  readonly peerDependencies?: Readonly<Record<string, string>> | undefined;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>> | undefined;
}

/** The package.json of a folder, or undefined where there is none that can be read. */
export async function readManifest(folder: string): Promise<PackageManifest | undefined> {
  try {
    const content: unknown = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
    if (typeof content !== 'object' || content === null) return undefined;
    return { name: '', version: '', ...content };
  } catch {
    return undefined;
  }
}

/** The package that a folder belongs to: the nearest package.json here or above. */
export async function enclosingPackage(from: string): Promise<{ readonly folder: string; readonly manifest: PackageManifest } | undefined> {
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    const manifest = await readManifest(folder);
    if (manifest !== undefined) return { folder, manifest };
    if (folder === dirname(folder)) return undefined;
  }
}

/** The folder of a package that a name means, looked for as Node does: the package here when it is its own name, else in node_modules here and in every folder above. */
export async function installedFolder(name: string, from: string): Promise<string | undefined> {
  const own = await enclosingPackage(from);
  if (own?.manifest.name === name && own.manifest.exports !== undefined) return own.folder;
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    const place = join(folder, 'node_modules', name);
    if ((await readManifest(place)) !== undefined) return place;
    if (folder === dirname(folder)) return undefined;
  }
}
