// The packages that are published, and what npm makes of them. Plain Node.
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../steps.mjs';

export const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

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

// npm's own script where npm started us, so that no shell is needed on any platform.
export async function npm(args, cwd) {
  const script = process.env.npm_execpath;
  const [program, first] = script?.endsWith('.js') ? [process.execPath, [script]] : ['npm', []];
  const { stdout } = await promisify(execFile)(program, [...first, ...args], { cwd, maxBuffer: 1 << 27, shell: program === 'npm' && process.platform === 'win32' });
  return stdout;
}

/** Packs packages into a folder. Returns what npm tells of each: filename, size, unpackedSize, files. */
export async function pack(names, folder) {
  return JSON.parse(await npm(['pack', '--json', '--pack-destination', folder, ...names.flatMap((name) => ['-w', name])], root));
}
