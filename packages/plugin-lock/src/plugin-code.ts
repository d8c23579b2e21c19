import type { FileKind, FileSystem, Plugin } from '@pare/core';
import { defaultFiles, sha256 } from '@pare/platform';
import type { LockablePlugin } from './create-lock.js';
import { hashFolder } from './hash-folder.js';
import { packageDependencies } from './package-dependencies.js';

/** A loaded plugin whose code a result follows from. */
export interface CodedPlugin extends LockablePlugin {
  readonly plugin: Plugin;
}

/** What code plugins are of. */
export interface PluginCode {
  /** `technique gptq` → `@pare/technique-gptq 0.1.0`, in order; with a hash for those that no application brought along. */
  readonly names: Readonly<Record<string, string>>;
  /** False when one of them came as a value, or from a folder that cannot be looked through: two processes may mean different code by one name. */
  readonly known: boolean;
}

/**
 * The code of the plugins that a result follows from. Code is hashed once a process, which runs what it loaded whatever is built meanwhile.
 *
 * @param used `technique:gptq`, `backend:cpu`, …
 * @param modelTypes those of the models, whose architecture plugins count, too
 */
export async function pluginCode(plugins: readonly CodedPlugin[], used: readonly string[], modelTypes: readonly string[]): Promise<PluginCode> {
  const involved = plugins.filter(({ kind, id, plugin }) => used.includes(`${kind}:${id}`) || (plugin.$$type === '@pare/architecture' && plugin.modelTypes.some((type) => modelTypes.includes(type))));
  const found = await Promise.all(involved.map(async (loaded) => ({ plugin: `${loaded.kind} ${loaded.id}`, ...(await codeOf(loaded)) })));
  return {
    names: Object.fromEntries(found.map(({ plugin, name }) => [plugin, name] as const).sort(([a], [b]) => (a < b ? -1 : 1))),
    known: found.every(({ known }) => known),
  };
}

async function codeOf({ package: name = 'unpackaged', version = '', folder, bundled, plugin }: CodedPlugin): Promise<{ readonly name: string; readonly known: boolean }> {
  const release = `${name} ${version}`.trim();
  if (bundled) return { name: release, known: version !== '' };
  const hash = folder === undefined ? undefined : await hashOnce(folder);
  return hash === undefined ? { name: `${release} source:${sha256(sourceText(plugin)).slice(0, 16)}`, known: false } : { name: `${release} sha256:${hash.slice(0, 16)}`, known: true };
}

/** Hashes of package folders by path, for the life of the process. */
const hashes = new Map<string, Promise<string | undefined>>();

/** Undefined for a folder that cannot be read, or that holds far more than a package: none of that may keep a run from starting. */
function hashOnce(folder: string): Promise<string | undefined> {
  let hash = hashes.get(folder);
  if (hash === undefined) hashes.set(folder, (hash = hashCode(defaultFiles, folder).catch(() => undefined)));
  return hash;
}

/**
 * Hash of what a package runs: of all its files where it is installed, of its code where it is worked on (there results, models and notes lie beside it); of its dependencies the names
 * and versions, and the code of those that are worked on, too.
 */
export async function hashCode(files: FileSystem, folder: string): Promise<string> {
  const own = await files.realPath(folder);
  const parts = [await hashPackage(files, own)];
  for (const { name, version, folder: place } of await packageDependencies(files, own)) parts.push(`${name}@${version} ${isInstalled(files, place) ? '' : await hashPackage(files, place)}`);
  return sha256(parts.sort().join('\n'));
}

function isInstalled(files: FileSystem, folder: string): boolean {
  return files.path.basename(folder) === 'node_modules' || (files.path.dirname(folder) !== folder && isInstalled(files, files.path.dirname(folder)));
}

/** Files and folders below which a folder is taken for a package; a home folder with a package.json has more. */
const mostEntries = 20_000;

function hashPackage(files: FileSystem, folder: string): Promise<string> {
  if (isInstalled(files, folder)) return hashFolder(files, folder);
  let entries = 0;
  return hashFolder(files, folder, (path, kind) => {
    if (++entries > mostEntries) throw new RangeError(`${folder} holds more than ${String(mostEntries)} files`);
    return isCode(path, kind);
  });
}

const codeFile = /\.([cm]?[jt]sx?|wasm|node|wgsl|ptx|cu)$/;

/** Code, and the manifest that says which of it is loaded. Folders whose names begin with a dot are tools'. */
function isCode(path: string, kind: FileKind): boolean {
  if (kind === 'folder') return !/(^|\/)\.[^/]*$/.test(path);
  return path === 'package.json' || codeFile.test(path);
}

/** What can be seen of a plugin that came as a value: the text of its own functions. */
function sourceText(plugin: Plugin): string {
  return Object.values(plugin)
    .filter((value) => typeof value === 'function')
    .map(String)
    .join('\n');
}
