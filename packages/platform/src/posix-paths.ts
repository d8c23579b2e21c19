import type { PathRules } from '@pare/core';

/** Parts of a path with `.` and `..` resolved; `..` at the beginning stays for relative paths. */
function parts(path: string): string[] {
  const absolute = path.startsWith('/');
  const kept: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..' && kept.length > 0 && kept.at(-1) !== '..') kept.pop();
    else if (part !== '..' || !absolute) kept.push(part);
  }
  return kept;
}

function resolve(...given: readonly string[]): string {
  const start = Math.max(0, given.findLastIndex((part) => part.startsWith('/')));
  return `/${parts(`/${given.slice(start).join('/')}`).join('/')}`;
}

function basename(path: string): string {
  return path.replace(/\/+$/, '').split('/').at(-1)!;
}

/** Rules of `node:path/posix` where there is no Node; the working folder is the root. Callers may take the functions apart. */
export const posixPaths: PathRules = {
  sep: '/',
  resolve,
  basename,
  join(...given) {
    const joined = given.filter((part) => part !== '').join('/');
    const normal = parts(joined).join('/');
    return joined.startsWith('/') ? `/${normal}` : normal === '' ? '.' : normal;
  },
  relative(from, to) {
    const a = parts(resolve(from));
    const b = parts(resolve(to));
    let shared = 0;
    while (shared < a.length && shared < b.length && a[shared] === b[shared]) shared++;
    return [...a.slice(shared).map(() => '..'), ...b.slice(shared)].join('/');
  },
  dirname(path) {
    const end = path.replace(/\/+$/, '').lastIndexOf('/');
    if (end > 0) return path.slice(0, end).replace(/\/+$/, '') || '/';
    return path.startsWith('/') ? '/' : '.';
  },
  extname(path) {
    const name = basename(path);
    const dot = name.lastIndexOf('.');
    return dot <= 0 || name === '..' ? '' : name.slice(dot);
  },
};
