// Running the repository's own commands. Plain Node, no packages: this works before anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(fileURLToPath(new URL('..', import.meta.url)));

/** Settings for child processes: Nx without its daemon, network or display. */
const environment = { ...process.env, NX_DAEMON: 'false', NX_NO_CLOUD: 'true', NX_TUI: 'false' };
// Nx sets FORCE_COLOR for what it runs, and Node warns about having both.
if ((environment.NO_COLOR ?? '') !== '') {
  delete environment.NO_COLOR;
  environment.FORCE_COLOR = '0';
}

/** A program of node_modules/.bin as a Node script, without npx and its start-up time. */
export function bin(packageName, name = packageName) {
  const manifest = JSON.parse(readFileSync(join(root, 'node_modules', packageName, 'package.json'), 'utf8'));
  return join(root, 'node_modules', packageName, typeof manifest.bin === 'string' ? manifest.bin : manifest.bin[name]);
}

/** Runs a command with its output shown. Resolves to its exit code. */
export function run(command, args, options = {}) {
  return new Promise((resolvePromise) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', env: environment, ...options });
    child.on('error', (error) => {
      console.error(`cannot run ${command}: ${error.message}`);
      resolvePromise(127);
    });
    child.on('close', (code, signal) => resolvePromise(signal === null ? code : 1));
  });
}

/** Runs a command and resolves to its standard output; its messages are shown. Throws when it fails. */
export function capture(command, args, options = {}) {
  return new Promise((resolvePromise, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env: environment, ...options });
    const chunks = [];
    child.stdout.on('data', (chunk) => chunks.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      const output = Buffer.concat(chunks).toString('utf8');
      if (code === 0) resolvePromise(output);
      else reject(new Error(`${args.filter((word) => !word.startsWith('/')).join(' ')} ended with exit code ${code}\n${output}`));
    });
  });
}

/** Runs a named step and tells how long it took. */
export async function step(title, action) {
  console.log(`\n── ${title}`);
  const start = performance.now();
  const code = await action();
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`── ${title}: ${code === 0 ? 'done' : `FAILED (exit code ${code})`} in ${seconds} s`);
  return code;
}

/** Refuses Node versions that the packages do not run on. */
export function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  console.error(`Node ${process.versions.node} is too old: Pare needs 20.19 or newer.`);
  process.exit(2);
}

/** Installs the packages of package-lock.json when they are not there. Resolves to an exit code. */
export async function install() {
  if (existsSync(join(root, 'node_modules', '.package-lock.json'))) return 0;
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  return step('install packages (npm ci)', () => run(npm, ['ci', '--no-audit', '--no-fund'], { shell: process.platform === 'win32' }));
}

/** Compiles every package and its tests; project references make this incremental. Resolves to an exit code. */
export async function build() {
  return run(process.execPath, [bin('typescript', 'tsc'), '--build']);
}

/** True when git knows this folder; fresh tarballs are not repositories. */
export function isRepository() {
  return spawnSync('git', ['rev-parse', '--is-inside-work-tree'], { cwd: root, stdio: 'ignore' }).status === 0;
}
