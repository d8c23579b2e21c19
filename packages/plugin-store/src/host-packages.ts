import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

/** A package that the host itself runs with. */
export interface HostPackage {
  readonly name: string;
  readonly version: string;
  readonly folder: string;
}

const require = createRequire(import.meta.url);

/** The host's own copy of a package, which plugins that name it as a peer are to use; undefined when the host has none. */
export async function hostPackage(name: string): Promise<HostPackage | undefined> {
  try {
    const file = require.resolve(`${name}/package.json`);
    const { version } = JSON.parse(await readFile(file, 'utf8')) as { version: string };
    return { name, version, folder: dirname(file) };
  } catch {
    return undefined;
  }
}
