import { readText } from './workspace.js';

/** An entry of package-lock.json. */
export interface LockedPackage {
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/**
 * Dependencies that a lock file names and does not hold. npm leaves out platform packages that its registry lacks (a release that is minutes old) or
 * that a present node_modules made it skip, and `npm ci` then refuses the whole file.
 */
export function missingFromLock(packages: Readonly<Record<string, LockedPackage>>): string[] {
  return Object.entries(packages).flatMap(([path, entry]) =>
    Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })
      .filter((name) => !isLocked(packages, path, name))
      .map((name) => `package-lock.json lacks ${name}, which ${path === '' ? 'the root' : path} needs; npm ci will refuse it`),
  );
}

/** Looks for a package as Node does: beside the one that asks, then in every folder above. */
function isLocked(packages: Readonly<Record<string, LockedPackage>>, from: string, name: string): boolean {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/')))) {
    if (`${folder === '' ? '' : `${folder}/`}node_modules/${name}` in packages) return true;
    if (folder === '') return false;
  }
}

/** The lock file is complete. */
export function checkLockfile(): string[] {
  return missingFromLock((JSON.parse(readText('package-lock.json')) as { packages: Record<string, LockedPackage> }).packages);
}
