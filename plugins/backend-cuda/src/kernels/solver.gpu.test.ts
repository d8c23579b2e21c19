import { describeColumnSolver } from '@pare/conformance';
import { devicePrograms, type DeviceTraits, type ProgramRunner } from '@pare/executor';
import path from 'node:path';
import { afterAll } from 'vitest';
import { createCudaBackend } from '../create-backend.js';
import { optionsSchema } from '../options.js';
import { createCudaColumnSolver } from './solver.js';

const opened: AsyncDisposable[] = [];
afterAll(async () => {
  for (const backend of opened) await backend[Symbol.asyncDispose]();
});

async function programs(traits?: Partial<DeviceTraits>): Promise<ProgramRunner> {
  const backend = await createCudaBackend(optionsSchema.parse({}), { traits });
  opened.push(backend);
  return backend.capability(devicePrograms)!;
}

describeColumnSolver('cuda', {
  statistics: path.join(import.meta.dirname, '../../../../packages/testkit/fixtures/golden'),
  solver: createCudaColumnSolver(await programs(), { threads: 0 }),
  small: createCudaColumnSolver(await programs({ maximumBinding: 65_536 }), { threads: 0 }),
  narrow: createCudaColumnSolver(await programs({ maximumBinding: 4096 }), { threads: 0 }),
});
