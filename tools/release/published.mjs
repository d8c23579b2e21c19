// The packages that are published, and what npm makes of them. Plain Node.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { npmOutput, readJson } from '../../examples/tarballs.mjs';
import { root } from '../steps.mjs';

/** Every package of the workspace that is not private: name, path from the root, manifest. */
export function publishedPackages() {
  return ['packages', 'plugins', 'apps', 'tools'].flatMap((group) =>
    readdirSync(join(root, group))
      .map((folder) => ({ path: `${group}/${folder}`, file: join(root, group, folder, 'package.json') }))
      .filter(({ file }) => existsSync(file))
      .map(({ path, file }) => ({ path, manifest: readJson(file) }))
      .filter(({ manifest }) => manifest.private !== true)
      .map(({ path, manifest }) => ({ name: manifest.name, path, manifest })),
  );
}

/** Packs packages into a folder. Returns what npm tells of each: filename, size, unpackedSize, files. */
export function pack(names, folder) {
  return JSON.parse(npmOutput(['pack', '--json', '--pack-destination', folder, ...names.flatMap((name) => ['-w', name])], root));
}
