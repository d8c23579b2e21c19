import type { FileKind, FileSystem } from '@pare/core';
import { createSha256, type Sha256 } from '@pare/platform';

/** Folders that are no part of a package: other packages, and the history of a checkout. */
const left = new Set(['node_modules', '.git']);

/**
 * `sha256:` and the hash of a package folder: of every file, in the order of their paths, its path, its length, and its bytes. `node_modules` and `.git` are left out, so a
 * package has one hash wherever it is installed; links count as what they lead to when that is a file, and as a name otherwise.
 *
 * @param counts says of a path within the folder whether it counts; all of them do without
 */
export async function hashFolder(files: FileSystem, folder: string, counts: (path: string, kind: FileKind) => boolean = () => true): Promise<string> {
  const hash = createSha256();
  await addFolder(files, folder, '', hash, counts);
  return `sha256:${hash.hex()}`;
}

async function addFolder(files: FileSystem, folder: string, prefix: string, hash: Sha256, counts: (path: string, kind: FileKind) => boolean): Promise<void> {
  const entries = [...(await files.list(folder))].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name, kind } of entries) {
    if (left.has(name)) continue;
    const path = files.path.join(folder, name);
    // Forward slashes on every system.
    const relative = `${prefix}${name}`;
    if (!counts(relative, kind)) continue;
    if (kind === 'folder') await addFolder(files, path, `${relative}/`, hash, counts);
    else await addFile(files, path, relative, hash);
  }
}

async function addFile(files: FileSystem, path: string, relative: string, hash: Sha256): Promise<void> {
  const found = await files.status(path);
  const isFile = found?.kind === 'file';
  hash.update(new TextEncoder().encode(`${relative}\0${isFile ? String(found.bytes) : 'link'}\0`));
  if (isFile) for await (const chunk of files.chunks(path)) hash.update(chunk);
}
