import { Worker } from 'node:worker_threads';

/** What the thread runs. Text and no module, so that it is found wherever an application was bundled to. */
const work = `
const { parentPort, workerData } = require('node:worker_threads');
const hash = require('node:crypto').createHash('sha256');
require('node:fs').createReadStream(workerData, { highWaterMark: 2 ** 20 })
  .on('data', (piece) => hash.update(piece))
  .on('end', () => parentPort.postMessage({ hash: hash.digest('hex') }))
  .on('error', ({ message, code }) => parentPort.postMessage({ message, code }));
`;

type Answer = { readonly hash: string } | { readonly hash?: undefined; readonly message: string; readonly code: string };

/** SHA-256 of a file by a thread of its own. Failures have the system's `code`; a signal that fires rejects with its reason. */
export async function hashOnThread(path: string, signal?: AbortSignal): Promise<string> {
  signal?.throwIfAborted();
  const worker = new Worker(work, { eval: true, workerData: path });
  const stopped = new AbortController();
  try {
    return await new Promise<string>((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason as Error), { signal: stopped.signal });
      worker.once('error', reject);
      worker.once('message', (answer: Answer) => {
        if (answer.hash === undefined) reject(Object.assign(new Error(answer.message), { code: answer.code }));
        else resolve(answer.hash);
      });
    });
  } finally {
    stopped.abort();
    await worker.terminate();
  }
}
