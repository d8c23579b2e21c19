import { pareError, throwIfAborted, type Progress } from '@pare/core';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Measured, MeasureReply, MeasureRequest } from './protocol.js';

const activity = 'measuring latency';

/**
 * Measures in a process of its own: nothing else competes for its threads, its memory is the model's, and it can be ended at any time, which a native operation in a
 * thread cannot.
 * @throws PARE_ONNX_UNUSABLE, PARE_ABORTED
 */
export async function measure(request: MeasureRequest, { signal, progress }: { readonly signal: AbortSignal; readonly progress: Progress }): Promise<Measured> {
  throwIfAborted(signal, activity);
  const child = startProcess();
  const stop = (): void => {
    child.kill('SIGKILL');
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await conversation(child, request, progress);
  } catch (error) {
    throwIfAborted(signal, activity);
    throw pareError('PARE_ONNX_UNUSABLE', { file: request.path, reason: error instanceof Error ? error.message : String(error) }, error);
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
  }
}

/** Sends the request and resolves with the result, or rejects with what went wrong; the process has ended in both cases. */
function conversation(child: ChildProcess, request: MeasureRequest, progress: Progress): Promise<Measured> {
  return new Promise((resolve, reject) => {
    let outcome: Exclude<MeasureReply, { kind: 'progress' }> | undefined;
    let complaint = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-1000);
    });
    child.on('message', (reply: MeasureReply) => {
      if (reply.kind === 'progress') progress.report({ completed: reply.completed, total: reply.total, unit: 'runs', detail: reply.detail });
      else outcome = reply;
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (outcome?.kind === 'done') resolve(outcome.measured);
      else reject(new Error(outcome?.reason ?? `the measuring process ended with ${signal ?? `code ${String(code)}`}${complaint === '' ? '' : `: ${complaint.trim()}`}`));
    });
    child.send(request, (error) => {
      if (error !== null) reject(error);
    });
  });
}

/**
 * Built packages have `measuring-process.js` beside this module. When the package runs from its TypeScript source, as under a test runner in the workspace, the process
 * compiles `measuring-process.ts` itself through jiti.
 */
function startProcess(): ChildProcess {
  const built = fileURLToPath(new URL('./measuring-process.js', import.meta.url));
  const source = fileURLToPath(new URL('./measuring-process.ts', import.meta.url));
  const load = (): string => `require(${JSON.stringify(createRequire(import.meta.url).resolve('jiti'))}).createJiti(${JSON.stringify(source)}).import(${JSON.stringify(source)})`;
  return spawn(process.execPath, existsSync(built) ? [built] : ['-e', load()], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], windowsHide: true });
}
