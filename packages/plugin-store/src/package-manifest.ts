import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/** The fields of a package.json that matter for plugins. */
export interface PackageManifest {
  readonly name: string;
  readonly version: string;
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

/** The folder of an installed package, looked for as Node does: in node_modules here and in every folder above. */
export async function installedFolder(name: string, from: string): Promise<string | undefined> {
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    const place = join(folder, 'node_modules', name);
    if ((await readManifest(place)) !== undefined) return place;
    if (folder === dirname(folder)) return undefined;
  }
}
