import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The text of a preset with an id, as an expression. */
export function presetText(id: string, extra: { readonly api?: number; readonly summary?: string } = {}): string {
  const { api = 1, summary = `'The preset ${id}.'` } = extra;
  return `{ $$type: '@pare/preset', id: '${id}', api: ${String(api)}, title: '${id}', summary: ${summary}, recipe: { version: 1, stages: [{ technique: 'rtn' }] } }`;
}

export interface PackageFixture {
  readonly name: string;
  readonly version?: string;
  /** The text of index.js. */
  readonly code: string;
  readonly manifest?: Readonly<Record<string, unknown>>;
}

/** Writes a package into a folder. */
export async function writePackage(folder: string, { name, version = '1.0.0', code, manifest = {} }: PackageFixture): Promise<string> {
  const content = { name, version, type: 'module', exports: { '.': './index.js', './package.json': './package.json' }, pare: { kind: 'preset', api: 1 }, ...manifest };
  await writeFiles(folder, { 'package.json': JSON.stringify(content), 'index.js': code });
  return folder;
}

/** Writes files by relative path. */
export async function writeFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
}
