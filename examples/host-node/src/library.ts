import { realpath, stat } from 'node:fs/promises';
import { relative, resolve, sep } from 'node:path';
import { ServiceError } from './service-error.js';

/** The folder that clients may name models and texts of. */
export class Library {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** @throws ServiceError 422 when there is no such folder in the library */
  async model(name: string): Promise<string> {
    return this.#find(name, 'folder');
  }

  /** @throws ServiceError 422 when there is no such file in the library */
  async text(name: string): Promise<string> {
    return this.#find(name, 'file');
  }

  async #find(name: string, kind: 'folder' | 'file'): Promise<string> {
    const path = await realpath(resolve(this.#root, name)).catch(() => undefined);
    const found = path === undefined || !isInside(await realpath(this.#root), path) ? undefined : await stat(path);
    if (path === undefined || found === undefined || (kind === 'folder' ? !found.isDirectory() : !found.isFile())) {
      throw new ServiceError(422, 'NOT_IN_LIBRARY', `the library has no ${kind} "${name}"`, `Name a ${kind} by its path below the service's library folder.`);
    }
    return path;
  }
}

/** True for a path below a folder; both with all links followed. */
export function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && resolve(folder, way) === path;
}
