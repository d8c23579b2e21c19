import type { Backend } from '@pare/core';
import { llamaArchitecture } from '@pare/architecture-llama';
import { referenceBackend } from '@pare/backend-reference';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { openModel } from '../open/index.js';
import { describeFallbacks } from './fallbacks.js';

it('names what a backend computes on the host, each operator once', async () => {
  await using model = await openModel(fileURLToPath(new URL('../../../testkit/fixtures/architectures/llama', import.meta.url)), { architectures: [llamaArchitecture] });
  await using backend = await referenceBackend.create({}, { log: console });
  expect(describeFallbacks(backend, model)).toEqual([]);
  const partial = {
    fallbacks: (graph) => graph.nodes.filter(({ operator }) => operator === 'Softmax').map(({ operator, domain, name }) => ({ operator, domain, node: name, reason: 'no kernel' })),
  } satisfies Pick<Backend, 'fallbacks'>;
  expect(describeFallbacks(partial, model)).toEqual(['Softmax runs on the host: no kernel']);
});
