import { createRequire } from 'node:module';
import { MessageChannel, parentPort, workerData } from 'node:worker_threads';
import { Device, DeviceFailure, type OnnxRuntime } from './device.js';
import { sharedWords, type Reply, type Request, type WorkerSettings } from './protocol.js';

/* The worker thread's entry: owns onnxruntime, and answers the messages of `WorkerChannel` in order. */

const port = parentPort!;
const reply = (message: Reply, transfer: readonly ArrayBuffer[] = []): void => {
  port.postMessage(message, transfer);
};

/**
 * A way to free an ArrayBuffer now. Sending it away detaches it, and a closed port drops what it is sent; waiting for the garbage
 * collector would let hundreds of megabytes pile up, since it sees only the small objects in front of them.
 */
async function createDisposer(): Promise<(buffer: ArrayBuffer) => void> {
  const { port1 } = new MessageChannel();
  await new Promise<void>((resolve) => {
    port1.once('close', resolve);
    port1.close();
  });
  return (buffer) => {
    try {
      port1.postMessage(null, [buffer]);
    } catch {
      // A buffer that cannot be sent is left to the garbage collector.
    }
  };
}

async function serve(): Promise<void> {
  const settings = workerData as WorkerSettings;
  let device: Device;
  try {
    const runtime = createRequire(import.meta.url)('onnxruntime-node') as OnnxRuntime & { env: { logLevel?: string } };
    runtime.env.logLevel = 'fatal';
    device = new Device(runtime, settings, await createDisposer());
  } catch (error) {
    reply({ kind: 'unusable', message: error instanceof Error ? error.message : String(error) });
    return;
  }
  const setBusy = (busy: 0 | 1): void => {
    Atomics.store(settings.shared, sharedWords.busy, busy);
    Atomics.notify(settings.shared, sharedWords.busy);
  };
  const closing = (): boolean => Atomics.load(settings.shared, sharedWords.closing) !== 0;
  const handle = async (request: Request): Promise<void> => {
    try {
      const value = await device.handle(request);
      if ('call' in request) reply({ kind: 'done', call: request.call, value }, value instanceof ArrayBuffer ? [value] : []);
    } catch (error) {
      if (!('call' in request)) throw error;
      const reason = error instanceof DeviceFailure ? error.reason : 'failed';
      reply({ kind: 'failed', call: request.call, failure: { reason, message: error instanceof Error ? error.message : String(error) } });
    }
  };
  let last = Promise.resolve();
  port.on('message', (request: Request) => {
    last = last.then(async () => {
      setBusy(1);
      // Looked at after the flag is up, so that whoever waits for it to fall sees no request begin afterwards.
      try {
        if (!closing() || request.kind === 'close') await handle(request);
      } finally {
        setBusy(0);
      }
      if (request.kind === 'close') port.close();
    });
  });
  reply({ kind: 'ready' });
}

void serve();
