import { isPareError } from '@pare/core';
import type { Host } from '@pare/runtime';
import fastify, { type FastifyInstance } from 'fastify';
import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Job, JobRequest } from './job.js';
import type { JobQueue } from './job-queue.js';
import type { JobStore } from './job-store.js';
import { isInside } from './library.js';
import { describeError, ServiceError } from './service-error.js';

/** What a request for a job may hold. The recipe itself is checked by the host, which knows the techniques. */
const jobSchema = {
  type: 'object',
  required: ['model', 'recipe'],
  additionalProperties: false,
  properties: {
    model: { type: 'string', minLength: 1, maxLength: 500 },
    // A text is a preset's id: the host would read any other as a path of a recipe file.
    // A document may not send the host to read a plugin lock.
    recipe: { anyOf: [{ type: 'string', pattern: '^[a-z0-9-]+$' }, { type: 'object', properties: { plugins: false } }] },
    set: { type: 'array', maxItems: 100, items: { type: 'string', maxLength: 500 } },
    calibration: {
      type: 'object',
      required: ['data'],
      additionalProperties: false,
      properties: {
        data: { type: 'string', minLength: 1, maxLength: 500 },
        samples: { type: 'integer', minimum: 1, maximum: 100_000 },
        sequenceLength: { type: 'integer', minimum: 2, maximum: 1_000_000 },
      },
    },
    seed: { type: 'integer', minimum: 0 },
    memory: { type: 'integer', minimum: 1 },
  },
} as const;

/** A fastify with the settings of this service, before it has routes: its logger is wanted earlier. */
export function createServer(logger: boolean): FastifyInstance {
  return fastify({
    logger,
    bodyLimit: 1 << 20,
    // Open connections, such as those that watch a job, are ended when the service closes.
    forceCloseConnections: true,
    // A misspelt property is a mistake to be told, not one to be dropped, and "4" is not 4.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  });
}

/** Adds the routes of the service. */
export function addRoutes(server: FastifyInstance, { host, queue, store }: { readonly host: Host; readonly queue: JobQueue; readonly store: JobStore }): void {
  server.setErrorHandler((error: Error & { validation?: unknown; statusCode?: number }, request, reply) => {
    if (error.validation !== undefined) return reply.status(400).send({ error: { code: 'REQUEST_INVALID', message: error.message, help: 'The README lists what a job may hold.' } });
    const status = isPareError(error) ? 422 : (error.statusCode ?? 500);
    if (status >= 500) request.log.error({ error }, 'a request failed');
    const told = status >= 400 && status < 500 && !isPareError(error) && !(error instanceof ServiceError) ? { code: 'REQUEST_INVALID', message: error.message, help: 'The README shows requests.' } : describeError(error);
    return reply.status(status).send({ error: told });
  });
  server.setNotFoundHandler((request, reply) =>
    reply.status(404).send({ error: { code: 'ROUTE_UNKNOWN', message: `there is no ${request.method} ${request.url}`, help: 'The README lists the routes.' } }),
  );

  server.get('/recipes', () => presetsOf(host));
  server.get('/backends', () => host.backends());

  server.post<{ Body: JobRequest }>('/jobs', { schema: { body: jobSchema } }, async (request, reply) => {
    const job = await queue.add(request.body);
    return reply.status(201).header('location', `/jobs/${job.id}`).send(job);
  });
  server.get('/jobs', () => queue.list());
  server.get<{ Params: { id: string } }>('/jobs/:id', (request) => queue.get(request.params.id));
  server.post<{ Params: { id: string } }>('/jobs/:id/cancel', (request) => queue.cancel(request.params.id));
  server.post<{ Params: { id: string } }>('/jobs/:id/resume', (request) => queue.resume(request.params.id));
  server.delete<{ Params: { id: string } }>('/jobs/:id', async (request, reply) => {
    await queue.remove(request.params.id);
    return reply.status(204).send();
  });

  server.get<{ Params: { id: string } }>('/jobs/:id/events', (request, reply) => {
    const job = queue.get(request.params.id);
    reply.hijack();
    watchJob(queue, job, reply.raw);
  });

  server.get<{ Params: { id: string } }>('/jobs/:id/files', (request) => queue.get(request.params.id).result?.files ?? []);
  server.get<{ Params: { id: string; '*': string } }>('/jobs/:id/files/*', async (request, reply) => {
    const { id, '*': name } = request.params;
    const job = queue.get(id);
    const folder = job.state === 'done' ? await realpath(store.outputOf(id)) : undefined;
    const file = folder === undefined ? undefined : await realpath(resolve(folder, name)).catch(() => undefined);
    const found = folder === undefined || file === undefined || !isInside(folder, file) ? undefined : await stat(file);
    if (file === undefined || found?.isFile() !== true) throw new ServiceError(404, 'FILE_UNKNOWN', `job ${id} has no file "${name}"`, `GET /jobs/${id}/files lists them.`);
    return reply.header('content-length', found.size).type('application/octet-stream').send(createReadStream(file));
  });
}

/** Presets whose techniques are all there. */
function presetsOf({ plugins }: Host): { id: string; summary: string }[] {
  const techniques = new Set(plugins.filter(({ kind }) => kind === 'technique').map(({ id }) => id));
  return plugins.flatMap(({ id, summary, plugin }) => (plugin.$$type === '@pare/preset' && plugin.recipe.stages.every(({ technique }) => techniques.has(technique)) ? [{ id, summary }] : []));
}

/** Milliseconds between comments that keep proxies from closing a silent connection. */
const heartbeat = 15_000;

/** Tells a client of a job by server-sent events: how it is now, every change, and no more once it is over. */
function watchJob(queue: JobQueue, job: Job, response: NodeJS.WritableStream & { writeHead(status: number, headers: Record<string, string>): unknown }): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const beat = setInterval(() => response.write(': waiting\n\n'), heartbeat);
  const stop = (): void => {
    clearInterval(beat);
    queue.off('changed', onChange);
  };
  const onChange = (changed: Job): void => {
    if (changed !== job) return;
    response.write(`event: ${job.state}\ndata: ${JSON.stringify(job)}\n\n`);
    if (job.state === 'queued' || job.state === 'running') return;
    stop();
    response.end();
  };
  queue.on('changed', onChange);
  response.on('close', stop);
  onChange(job);
}
