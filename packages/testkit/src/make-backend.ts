import { referenceBackend } from '@pare/backend-reference';
import type { Backend } from '@pare/core';

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** The reference backend, for suites of `@pare/conformance`. The caller disposes it. */
export const makeBackend = (): Promise<Backend> => Promise.resolve(referenceBackend.create({}, { log }));
