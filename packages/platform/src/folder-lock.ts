import { pareError, systemErrorCode, type FileSystem } from '@pare/core';
import { isRunning, processId } from '#system';

/** Name of the file that locks the folder that it stands in. It holds the number of the process. */
export const lockName = 'lock';

/** Locks held by this process: a process number alone cannot tell its users apart. */
const held = new Set<string>();

/**
 * Locks a folder for this process, and for one user in it. The lock of a process that is gone is taken over.
 * @param output what the folder is for, for messages
 * @throws PARE_OUTPUT_BUSY
 */
export async function lockFolder(files: FileSystem, directory: string, output: string): Promise<void> {
  const path = files.path.join(directory, lockName);
  if (held.has(directory)) throw pareError('PARE_OUTPUT_BUSY', { output, process: processId, lock: path });
  held.add(directory);
  try {
    await createLock(files, path, output);
  } catch (error) {
    held.delete(directory);
    throw error;
  }
}

/** Lets others have it. The folder may be gone. */
export async function unlockFolder(files: FileSystem, directory: string): Promise<void> {
  await files.remove(files.path.join(directory, lockName));
  held.delete(directory);
}

async function createLock(files: FileSystem, path: string, output: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await files.writeText(path, String(processId), { exclusive: true });
      return;
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST' || attempt === 2) throw error;
    }
    const owner = Number(await files.readText(path).catch(() => ''));
    if (owner !== processId && owner > 0 && (await isRunning(owner))) throw pareError('PARE_OUTPUT_BUSY', { output, process: owner, lock: path });
    // Its owner is gone. The file is taken away and created anew, so that of two runs doing this only one succeeds.
    await files.remove(path).catch(() => undefined);
  }
}
