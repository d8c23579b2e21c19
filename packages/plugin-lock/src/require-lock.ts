import { pareError, systemErrorCode, type FileSystem } from '@pare/core';
import { compareLock } from './compare-lock.js';
import type { LockablePlugin } from './create-lock.js';
import { parseLock } from './lock-file.js';

/**
 * Refuses plugins that are not exactly those of a lock file.
 * @param files where the lock file lies
 * @throws PARE_FILE_UNREADABLE, PARE_PLUGIN_LOCK_INVALID, PARE_PLUGIN_LOCK_BROKEN
 */
export async function requireLock(files: FileSystem, file: string, plugins: readonly LockablePlugin[]): Promise<void> {
  let text: string;
  try {
    text = await files.readText(file);
  } catch (error) {
    throw pareError('PARE_FILE_UNREADABLE', { file, reason: systemErrorCode(error) === 'ENOENT' ? 'there is no such plugin lock; "pare plugins lock" writes one' : (error as Error).message }, error);
  }
  const differences = await compareLock(parseLock(text, file), plugins);
  if (differences.length > 0) throw pareError('PARE_PLUGIN_LOCK_BROKEN', { lock: file, differences });
}
