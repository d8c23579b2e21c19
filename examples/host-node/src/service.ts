import { cpuBackend } from '@pare/backend-cpu';
import { llamaArchitecture } from '@pare/architecture-llama';
import { loggerRef, provide } from '@pare/core';
import { huggingFaceFormat } from '@pare/format-hf';
import presets from '@pare/preset-standard';
import { createHost } from '@pare/runtime';
import { gptq } from '@pare/technique-gptq';
import { rtn } from '@pare/technique-rtn';
import type { FastifyInstance } from 'fastify';
import { join } from 'node:path';
import { JobQueue } from './job-queue.js';
import { JobStore } from './job-store.js';
import { Library } from './library.js';
import { meteredBackend, type Meter } from './metered-backend.js';
import { addRoutes, createServer } from './server.js';

export interface ServiceOptions {
  /** Folder of models and texts that clients may name. */
  readonly library: string;
  /** Folder that jobs and their results are kept in. */
  readonly data: string;
  /** Writes requests, and what the host says, to standard output as JSON lines. */
  readonly log: boolean;
}

/** A service that is ready to listen. Closing it ends the run at a safe point; the next process goes on with it. */
export async function createService({ library, data, log }: ServiceOptions): Promise<FastifyInstance> {
  const server = createServer(log);
  const meter: Meter = { graphRuns: 0, bytesWritten: 0 };
  const host = await createHost({
    plugins: [llamaArchitecture, huggingFaceFormat, gptq, rtn, presets, meteredBackend(cpuBackend, meter)],
    // The host's logger becomes the server's: one log, in one format.
    services: [
      provide(loggerRef, {}, () => {
        const lines = server.log.child({ from: 'pare' });
        return { debug: (text) => lines.debug(text), info: (text) => lines.info(text), warn: (text) => lines.warn(text), error: (text) => lines.error(text) };
      }),
    ],
    memoryIntervalSeconds: 0,
  });
  (await host.service(loggerRef)).info(`a host with ${String(host.plugins.length)} plugins`);
  const store = new JobStore(join(data, 'jobs'));
  const queue = new JobQueue({ host, store, library: new Library(library), meter, limit: 100, log: server.log });
  addRoutes(server, { host, queue, store });
  server.addHook('onReady', () => queue.start());
  server.addHook('preClose', () => queue.close());
  server.addHook('onClose', () => host.close());
  return server;
}
