import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** URL of the file that `import name` would load from a folder, or undefined. */
export async function locate(name: string, cwd: string): Promise<string | undefined> {
  const { createJiti } = await import('jiti');
  const found = createJiti(join(cwd, 'noop.mjs'), { fsCache: false }).esmResolve(name, { try: true, conditions: ['node', 'import', 'default'] });
  return found === undefined || found.startsWith('node:') ? undefined : found.startsWith('file:') ? found : pathToFileURL(found).href;
}

/** Imports JavaScript as Node does and TypeScript through jiti. */
export async function importFile(url: string, cwd: string): Promise<Record<string, unknown>> {
  if (!/\.[cm]?tsx?$/.test(url)) return (await import(/* @vite-ignore */ url)) as Record<string, unknown>;
  const { createJiti } = await import('jiti');
  return createJiti(join(cwd, 'noop.mjs'), { fsCache: false, interopDefault: false }).import(fileURLToPath(url));
}

/** Name and version in the nearest package.json with both, from a file upwards. */
export async function packageOf(url: string): Promise<{ readonly name: string; readonly version: string; readonly folder: string } | undefined> {
  let folder = dirname(fileURLToPath(url));
  for (;;) {
    try {
      const content = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Record<string, unknown>;
      if (typeof content['name'] === 'string' && typeof content['version'] === 'string') return { name: content['name'], version: content['version'], folder };
    } catch {
      // No package.json here, or one that cannot be read: the next folder up may have it.
    }
    const parent = resolve(folder, '..');
    if (parent === folder) return undefined;
    folder = parent;
  }
}
