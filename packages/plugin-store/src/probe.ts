import { throwIfAborted } from '@pare/core';
import type { PluginProblem } from '@pare/runtime';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { configName, type ProbeReply, type ProbeRequest, type ProbeResult } from './probe-protocol.js';

/** Seconds for the process itself to come up, before any plugin code runs. */
const startSeconds = 60;

/** Seconds beyond the plugin's own limit after which a process that does not answer is taken to be stuck in a loop. */
const graceSeconds = 2;

/**
 * Loads a plugin in a process of its own. One that throws, never finishes, loops without end, ends the process or leaves something running is a problem in the result, by
 * name; nothing of it can reach this process.
 * @throws PARE_ABORTED
 */
export async function probe(request: ProbeRequest, signal?: AbortSignal): Promise<ProbeResult> {
  const name = request.kind === 'package' ? request.reference.package : (request.file ?? configName);
  const child = startProcess(signal);
  const failed = (found: string, allowed: string, fix: string): ProbeResult => ({ plugins: [], problems: [{ path: name, found, allowed, fix } satisfies PluginProblem], notes: [], names: [] });
  let complaint = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    complaint = `${complaint}${chunk.toString()}`.slice(-4000);
  });
  try {
    return await new Promise<ProbeResult>((resolve, reject) => {
      let result: ProbeResult | undefined;
      let loading = false;
      const kill = (): void => {
        child.kill('SIGKILL');
      };
      let timer = setTimeout(kill, startSeconds * 1000);
      child.on('message', (reply: ProbeReply) => {
        if (reply.kind === 'done') {
          result = reply.result;
          return;
        }
        loading = true;
        clearTimeout(timer);
        timer = setTimeout(() => {
          result ??= failed(
            `a module that blocks the process while it loads: nothing else could run for ${String(request.seconds)} s`,
            'a module that does its work when asked, not when imported',
            `Remove or update ${name}; its author needs this message.`,
          );
          kill();
        }, (request.seconds + graceSeconds) * 1000);
      });
      child.once('error', reject);
      child.once('close', (code, killed) => {
        clearTimeout(timer);
        const end = killed === null ? `code ${String(code)}` : killed;
        if (result !== undefined) resolve(result);
        else if (!loading) reject(new Error(`the probing process ended with ${end} before it loaded anything: ${complaint.trim()}`));
        else resolve(failed(`a module that ends the process (${end}) while it loads${complaint === '' ? '' : `: ${lastLine(complaint)}`}`, 'a module that can be imported', `Remove or update ${name}; its author needs this message.`));
      });
      child.send(request, (error) => {
        if (error !== null) reject(error);
      });
    });
  } finally {
    // An interrupt can end the process before it is told here: then, too, it is no fault of the plugin.
    throwIfAborted(signal, 'trying out a plugin');
  }
}

/** The line of a stack trace that says what happened. */
function lastLine(text: string): string {
  const lines = text.trim().split('\n').map((line) => line.trim());
  return lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1)!;
}

/** Built, `probing-process.js` lies beside this module. From TypeScript source, as under a test runner in the workspace, the process compiles it through jiti. */
function startProcess(signal: AbortSignal | undefined): ChildProcess {
  const built = fileURLToPath(new URL('./probing-process.js', import.meta.url));
  const source = fileURLToPath(new URL('./probing-process.ts', import.meta.url));
  const load = (): string => `require(${JSON.stringify(createRequire(import.meta.url).resolve('jiti'))}).createJiti(${JSON.stringify(source)}).import(${JSON.stringify(source)})`;
  return spawn(process.execPath, existsSync(built) ? [built] : ['-e', load()], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], windowsHide: true, ...(signal === undefined ? {} : { signal, killSignal: 'SIGKILL' }) });
}
