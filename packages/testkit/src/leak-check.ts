import { referenceBackend } from '@pare/backend-reference';
import type { Backend, BackendPlugin } from '@pare/core';

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** Throws when device tensors are alive that should have been disposed. */
export function expectNoLeaks(backend: Backend): void {
  const { tensors, bytes } = backend.memory();
  if (tensors > 0) throw new Error(`${String(tensors)} device tensor(s) of ${String(bytes)} bytes were never disposed`);
}

/**
 * A backend that throws at its disposal when tensors are left: `await using backend = await leakCheckedBackend()`.
 * @param plugin the reference backend by default
 */
export async function leakCheckedBackend(plugin: BackendPlugin<never> | BackendPlugin<Record<string, never>> = referenceBackend): Promise<Backend> {
  const backend = await (plugin as BackendPlugin<Record<string, never>>).create({}, { log: silent });
  const dispose = backend[Symbol.asyncDispose].bind(backend);
  return Object.defineProperty(backend, Symbol.asyncDispose, {
    async value() {
      try {
        expectNoLeaks(backend);
      } finally {
        await dispose();
      }
    },
  });
}
