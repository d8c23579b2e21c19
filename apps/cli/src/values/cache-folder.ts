import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/**
 * Where results are kept when nobody says: `PARE_CACHE`, or `pare` in the user's cache folder (`XDG_CACHE_HOME`, which counts only when absolute; `LOCALAPPDATA` on Windows;
 * `~/.cache`).
 */
export function defaultCacheFolder(environment: Readonly<Record<string, string | undefined>> = process.env, platform: string = process.platform): string {
  const { PARE_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = environment;
  if (PARE_CACHE !== undefined && PARE_CACHE !== '') return PARE_CACHE;
  const given = platform === 'win32' ? (XDG_CACHE_HOME ?? LOCALAPPDATA) : XDG_CACHE_HOME;
  return join(given !== undefined && isAbsolute(given) ? given : join(homedir(), '.cache'), 'pare');
}
