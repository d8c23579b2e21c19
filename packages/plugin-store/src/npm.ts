import { pareError, throwIfAborted } from '@pare/core';
import { spawn } from 'node:child_process';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

/** How npm is started: a program and the arguments that come first. */
export interface Npm {
  readonly program: string;
  readonly words: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The npm of this machine: the one that started us, or the first on the PATH. On Windows its script is run by Node itself, because a `.cmd` file needs a shell.
 * @throws PARE_NPM_MISSING
 */
export async function findNpm(operation: string, env: Environment = process.env, platform: string = process.platform): Promise<Npm> {
  const script = env['npm_execpath'];
  if (script !== undefined && /npm-cli\.c?js$/.test(script) && (await exists(script))) return { program: process.execPath, words: [script] };
  const path = env['PATH'] ?? env['Path'] ?? '';
  for (const folder of path.split(delimiter)) {
    if (folder === '') continue;
    const found = join(folder, ...(platform === 'win32' ? ['node_modules', 'npm', 'bin', 'npm-cli.js'] : ['npm']));
    if (await exists(found)) return platform === 'win32' ? { program: process.execPath, words: [found] } : { program: found, words: [] };
  }
  throw pareError('PARE_NPM_MISSING', { operation });
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

/** That npm ended with an error, and its own words for it. */
export class NpmError extends Error {}

export interface NpmRun {
  readonly npm: Npm;
  readonly cwd: string;
  readonly env?: Environment | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs npm quietly in a folder. Scripts of packages are not run.
 * @throws NpmError with what npm said; PARE_ABORTED
 */
export async function runNpm(args: readonly string[], { npm, cwd, env = process.env, signal }: NpmRun): Promise<void> {
  throwIfAborted(signal, 'installing');
  const child = spawn(npm.program, [...npm.words, ...args, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd,
    env: { ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
    windowsHide: true,
    ...(signal === undefined ? {} : { signal }),
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => {
      // An abort ends the child, too, and `close` follows.
      if (error.name !== 'AbortError') reject(error);
    });
    child.once('close', resolve);
  });
  throwIfAborted(signal, 'installing');
  if (code !== 0) throw new NpmError(npmReason(said) || `npm ended with code ${String(code)}`);
}

/** The lines of npm's complaint that say something, without its marks and without the place of its log. */
export function npmReason(text: string): string {
  return text
    .split('\n')
    .map((line) => line.replace(/^npm (?:error|ERR!)\s?/, '').trim())
    .filter((line) => line !== '' && !/complete log of this run|^[\w-]*npm[\w-]*-debug|^A complete log/.test(line))
    .slice(0, 4)
    .join('; ');
}
