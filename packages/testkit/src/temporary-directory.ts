import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder that is removed with everything in it: `await using folder = await temporaryDirectory()`. */
export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
  /** A path inside. */
  join(...parts: readonly string[]): string;
}

export async function temporaryDirectory(prefix = 'pare-test-'): Promise<TemporaryDirectory> {
  const path = await realpath(await mkdtemp(join(tmpdir(), prefix)));
  return {
    path,
    join: (...parts) => join(path, ...parts),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}
