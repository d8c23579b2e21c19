import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/**
 * Where a user's plugins lie when nobody says: `PARE_PLUGINS`, or `pare/plugins` in the user's data folder (`XDG_DATA_HOME`, which counts only when absolute; `LOCALAPPDATA`
 * on Windows; `~/Library/Application Support` on macOS; `~/.local/share`).
 */
export function defaultStoreFolder(environment: Readonly<Record<string, string | undefined>> = process.env, platform: string = process.platform): string {
  const { PARE_PLUGINS, XDG_DATA_HOME, LOCALAPPDATA } = environment;
  if (PARE_PLUGINS !== undefined && PARE_PLUGINS !== '') return PARE_PLUGINS;
  const given = platform === 'win32' ? (XDG_DATA_HOME ?? LOCALAPPDATA) : XDG_DATA_HOME;
  const usual = platform === 'darwin' ? join(homedir(), 'Library', 'Application Support') : join(homedir(), '.local', 'share');
  return join(given !== undefined && isAbsolute(given) ? given : usual, 'pare', 'plugins');
}
