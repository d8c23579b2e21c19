// What an example needs to live outside this repository: packages packed as npm would publish them. Needs a build ("npm run build"). Plain Node, no packages.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repository = resolve(dirname(fileURLToPath(import.meta.url)), '..');

export const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** Runs npm in a folder; its messages are shown. */
export function npm(args, cwd) {
  runNpm(args, { cwd, stdio: ['ignore', 2, 'inherit'] });
}

/** Runs npm in a folder and returns what it prints. */
export function npmOutput(args, cwd) {
  return runNpm(args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 27 });
}

// npm's own script where npm started us, so that no shell is needed on any platform.
function runNpm(args, options) {
  const script = process.env.npm_execpath;
  return script?.endsWith('.js') === true ? execFileSync(process.execPath, [script, ...args], options) : execFileSync('npm', args, { ...options, shell: process.platform === 'win32' });
}

/** Installs a folder's dependencies. Install scripts of dependencies fetch optional GPU libraries; nothing here uses them. */
export function npmInstall(folder) {
  npm(['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--silent'], folder);
}

/** Makes a project with these dependencies and nothing else. */
export function installProject(folder, dependencies) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'project', version: '1.0.0', private: true, type: 'module', dependencies }));
  npmInstall(folder);
}

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

/** Packs packages of this workspace, with those that they need, into a folder. Returns dependencies for a package.json. */
export function packPackages(names, folder) {
  const folders = workspacePackages();
  const packed = new Set();
  for (const name of names) withDependencies(name, folders, packed);
  mkdirSync(folder, { recursive: true });
  npm(['pack', '--silent', '--pack-destination', folder, ...[...packed].flatMap((name) => ['-w', name])], repository);
  return Object.fromEntries([...packed].map((name) => [name, `file:${join(folder, tarballName(readJson(join(folders.get(name), 'package.json'))))}`]));
}

/** The file that npm pack makes of a package. */
export function tarballName({ name, version }) {
  return `${name.replace('@', '').replace('/', '-')}-${version}.tgz`;
}
