import type { FileSystem, PathRules } from '@pare/core';
import { copyFile, type FilePlace } from './copy-file.js';
import { FileSystemError } from './file-system-error.js';

/**
 * Several file systems as one: paths at and below `/model` go to the one mounted there (which sees them from its own root), all others to the base. Nothing is
 * renamed from one to another.
 *
 * @param mounts By absolute path: `{ '/model': memoryFiles(picked) }`.
 */
export function mountFiles(base: FileSystem, mounts: Readonly<Record<string, FileSystem>>): FileSystem {
  const path: PathRules = base.path;
  const find = (given: string): FilePlace => {
    const full = path.resolve(given);
    for (const [place, files] of Object.entries(mounts)) {
      if (full === place || full.startsWith(`${place}/`)) return { files, path: full.slice(place.length) || '/' };
    }
    return { files: base, path: full };
  };
  const on = <T>(given: string, use: (files: FileSystem, path: string) => T): T => {
    const found = find(given);
    return use(found.files, found.path);
  };
  return {
    path,
    status: (given) => on(given, (files, inner) => files.status(inner)),
    list: (given) => on(given, (files, inner) => files.list(inner)),
    access: (given) => on(given, (files, inner) => files.access(inner)),
    open: (given) => on(given, (files, inner) => files.open(inner)),
    chunks: (given) => on(given, (files, inner) => files.chunks(inner)),
    readText: (given) => on(given, (files, inner) => files.readText(inner)),
    create: (given) => on(given, (files, inner) => files.create(inner)),
    writeText: (given, text, options) => on(given, (files, inner) => files.writeText(inner, text, options)),
    async copy(from, to) {
      const source = find(from);
      const target = find(to);
      await copyFile(source, target);
    },
    makeFolder: (given) => on(given, (files, inner) => files.makeFolder(inner)),
    async rename(from, to) {
      const source = find(from);
      const target = find(to);
      if (source.files !== target.files) throw new FileSystemError('EXDEV', to);
      await source.files.rename(source.path, target.path);
    },
    remove: (given) => on(given, (files, inner) => files.remove(inner)),
    removeEmptyFolder: (given) => on(given, (files, inner) => files.removeEmptyFolder(inner)),
    flush: (given) => on(given, (files, inner) => files.flush(inner)),
    freeBytes: (given) => on(given, (files, inner) => files.freeBytes(inner)),
    realPath: async (given) => {
      await on(given, (files, inner) => files.realPath(inner));
      return path.resolve(given);
    },
    scratch: (given) => (given === undefined ? base.scratch() : on(given, (files, inner) => files.scratch(inner))),
  };
}
