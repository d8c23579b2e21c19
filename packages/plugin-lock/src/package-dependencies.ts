import type { FileSystem } from '@pare/core';

/** An installed package. */
export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  readonly folder: string;
}

/**
 * The packages that one runs with: its dependencies and theirs, each looked for as Node does, from its own folder upwards. Peer dependencies are the host's, and optional ones
 * differ from machine to machine; both are left out, as are those that are not installed.
 */
export async function packageDependencies(files: FileSystem, folder: string): Promise<readonly InstalledPackage[]> {
  const found = new Map<string, InstalledPackage>();
  const visit = async (from: string): Promise<void> => {
    const manifest = await readManifest(files, from);
    const optional = new Set(Object.keys((manifest?.['optionalDependencies'] ?? {}) as Record<string, unknown>));
    for (const name of Object.keys((manifest?.['dependencies'] ?? {}) as Record<string, unknown>)) {
      const place = optional.has(name) ? undefined : await findPackage(files, name, from);
      if (place === undefined || found.has(place)) continue;
      const { version } = (await readManifest(files, place)) ?? {};
      found.set(place, { name, version: typeof version === 'string' ? version : '', folder: place });
      await visit(place);
    }
  };
  await visit(await files.realPath(folder));
  return [...found.values()];
}

async function readManifest(files: FileSystem, folder: string): Promise<Record<string, unknown> | undefined> {
  try {
    return JSON.parse(await files.readText(files.path.join(folder, 'package.json'))) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

async function findPackage(files: FileSystem, name: string, from: string): Promise<string | undefined> {
  for (let folder = from; ; folder = files.path.dirname(folder)) {
    const place = files.path.join(folder, 'node_modules', name);
    if ((await files.status(files.path.join(place, 'package.json')).catch(() => undefined)) !== undefined) return files.realPath(place);
    if (folder === files.path.dirname(folder)) return undefined;
  }
}
