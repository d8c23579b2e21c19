// Pare as its users get it: packed, and installed in a folder outside the repository. Needs a build ("npm run build").
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** Folders of all workspace packages by name. */
function workspacePackages() {
  const found = new Map();
  for (const group of ['packages', 'plugins', 'apps']) {
    for (const entry of readdirSync(join(repository, group))) {
      const manifest = join(repository, group, entry, 'package.json');
      if (existsSync(manifest)) found.set(readJson(manifest).name, dirname(manifest));
    }
  }
  return found;
}

/** A package and everything of this workspace that it depends on at run time. */
function withDependencies(name, folders, seen) {
  if (seen.has(name) || !folders.has(name)) return;
  seen.add(name);
  for (const dependency of Object.keys(readJson(join(folders.get(name), 'package.json')).dependencies ?? {})) withDependencies(dependency, folders, seen);
}

// npm's own script where npm started us, so that no shell is needed on any platform.
const npmScript = process.env.npm_execpath;

/** Runs npm, quietly. Returns what it printed. */
export const npm = (args, cwd) =>
  npmScript !== undefined && npmScript.endsWith('.js')
    ? execFileSync(process.execPath, [npmScript, ...args], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
    : execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], shell: process.platform === 'win32' });

/** Packs packages and what they depend on into a folder. */
export function packPare(folder, names) {
  mkdirSync(folder, { recursive: true });
  const packages = workspacePackages();
  const wanted = new Set();
  for (const name of names) withDependencies(name, packages, wanted);
  npm(['pack', '--silent', '--pack-destination', folder, ...[...wanted].flatMap((name) => ['-w', name])], repository);
}

/** Dependencies on every tarball of a folder. */
export function tarballDependencies(folder) {
  return Object.fromEntries(
    readdirSync(folder).map((file) => {
      const path = join(folder, file);
      return [JSON.parse(execFileSync('tar', ['-xzOf', path, 'package/package.json'], { encoding: 'utf8' })).name, `file:${path}`];
    }),
  );
}

/** A project with these dependencies and nothing else. */
export function installProject(folder, dependencies) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'project', version: '1.0.0', private: true, type: 'module', dependencies }));
  // The install scripts of dependencies fetch optional GPU libraries; nothing here uses them.
  npm(['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--silent'], folder);
}
