import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/**
 * Starts the worker. Built packages have `worker.js` beside this module. When the package runs from its TypeScript source, as under a
 * test runner in the workspace, the worker thread compiles `worker.ts` itself through jiti, so that no stale build is picked up.
 */
export function startWorker(options: WorkerOptions): Worker {
  const built = new URL('./worker.js', import.meta.url);
  if (existsSync(built)) return new Worker(built, options);
  const source = fileURLToPath(new URL('./worker.ts', import.meta.url));
  const jiti = createRequire(import.meta.url).resolve('jiti');
  return new Worker(`require(${JSON.stringify(jiti)}).createJiti(${JSON.stringify(source)}).import(${JSON.stringify(source)})`, { ...options, eval: true });
}
