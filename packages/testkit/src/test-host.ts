import { nullBackend } from '@pare/backend-null';
import { referenceBackend } from '@pare/backend-reference';
import type { HostEvents, Logger } from '@pare/core';
import { createHost, type Host, type HostOptions } from '@pare/runtime';
import { architectures } from './architectures.js';
import { dumpFormat } from './dump-format.js';

/** An event that a test host sent. */
export type RecordedEvent = { readonly [K in keyof HostEvents]: { readonly event: K; readonly data: HostEvents[K] } }[keyof HostEvents];

/** A host that remembers what it said. */
export interface TestHost extends Host {
  readonly log: readonly string[];
  readonly recorded: readonly RecordedEvent[];
}

const eventNames: readonly (keyof HostEvents)[] = [
  'run:start',
  'stage:start',
  'block:start',
  'module:done',
  'block:done',
  'stage:done',
  'progress',
  'format:start',
  'format:done',
  'evaluation:start',
  'evaluation:done',
  'memory',
  'warning',
];

/**
 * Starts a host with the architectures of all fixtures, the reference and null backends, and the `dump` format, besides what the options bring. Compress with
 * `formats: ['dump']`. Memory events are off unless asked for.
 */
export async function startTestHost(options: Partial<HostOptions> = {}): Promise<TestHost> {
  const log: string[] = [];
  const line =
    (level: string) =>
    (message: string): void => {
      log.push(`${level} ${message}`);
    };
  const logger: Logger = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
  const host = await createHost({
    logger,
    memoryIntervalSeconds: 0,
    ...options,
    // With a package, as an application brings its own along: results that values compute are never kept.
    plugins: [{ plugin: [...architectures, referenceBackend, nullBackend, dumpFormat], package: '@pare/testkit', version: '0.1.0' }, options.plugins ?? []],
  });
  const recorded: RecordedEvent[] = [];
  for (const event of eventNames) host.events.on(event, (data: HostEvents[typeof event]) => recorded.push({ event, data } as RecordedEvent));
  return Object.assign(host, { log, recorded });
}
