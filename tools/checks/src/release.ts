import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readText, root, workspacePackages, type PackageManifest, type WorkspacePackage } from './workspace.js';

const budgetFile = 'tools/release/budgets.json';
const publishLine = '  "publishConfig": { "access": "public", "provenance": true },\n';

/** Kilobytes (1000 bytes) that a package may have, packed and unpacked; `default` is for packages that are not named. */
export type SizeBudgets = Readonly<Record<string, { readonly packed: number; readonly unpacked: number }>>;

/** Everything of a release that can be told without packing: provenance, and unpacked sizes within their budgets. `npm run release:check` does the rest. */
export function checkRelease(write: boolean): string[] {
  const budgets = JSON.parse(readText(budgetFile)) as SizeBudgets;
  const published = workspacePackages().filter(({ manifest }) => manifest.private !== true);
  const gone = Object.keys(budgets).filter((name) => name !== 'default' && !published.some((one) => one.name === name));
  return [...published.flatMap((one) => [...provenanceProblems(one, write), ...sizeProblems(one, budgets)]), ...gone.map((name) => `${budgetFile}: there is no package ${name}`)];
}

function provenanceProblems({ path, manifest }: WorkspacePackage, write: boolean): string[] {
  if (manifest.publishConfig?.provenance === true && manifest.publishConfig.access === 'public') return [];
  const file = `${path}/package.json`;
  const text = readText(file);
  const position = text.indexOf('  "nx":');
  if (!write || manifest.publishConfig !== undefined || position === -1) return [`${file}: publishConfig lacks "access": "public" or "provenance": true; "npm run generate" adds it`];
  writeFileSync(join(root, file), text.slice(0, position) + publishLine + text.slice(position));
  return [];
}

function sizeProblems({ name, directory, manifest }: WorkspacePackage, budgets: SizeBudgets): string[] {
  const budget = budgets[name] ?? budgets['default']!;
  const size = Math.ceil(publishedBytes(directory, manifest) / 1000);
  return size > budget.unpacked ? [`${name} would be ${String(size)} kB unpacked, its budget in ${budgetFile} is ${String(budget.unpacked)} kB`] : [];
}

/** Bytes of the files that a manifest's `files` name, and of those that npm always adds. */
export function publishedBytes(directory: string, manifest: Pick<PackageManifest, 'files'>): number {
  const left = (manifest.files ?? []).filter((pattern) => pattern.startsWith('!')).map((pattern) => pattern.slice(1));
  const excluded = (path: string): boolean => left.some((pattern) => new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}(/|$)`).test(path));
  const bytesOf = (path: string): number => {
    const absolute = join(directory, path);
    if (!existsSync(absolute) || excluded(path)) return 0;
    const status = statSync(absolute);
    return status.isDirectory() ? readdirSync(absolute).reduce((sum, entry) => sum + bytesOf(`${path}/${entry}`), 0) : status.size;
  };
  return [...new Set([...(manifest.files ?? []).filter((pattern) => !pattern.startsWith('!')), 'README.md', 'package.json'])].reduce((sum, path) => sum + bytesOf(path), 0);
}
