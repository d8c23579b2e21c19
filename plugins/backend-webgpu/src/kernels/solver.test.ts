import { describeColumnSolver } from '@pare/conformance';
import path from 'node:path';
import { afterAll, vi } from 'vitest';
import { createWebgpuColumnSolver } from './solver.js';
import { guaranteedTraits, testDevice, tinyTraits } from './testing.js';

// A software device takes seconds to compile a kernel.
vi.setConfig({ testTimeout: 240_000 });
const gpu = await testDevice();
afterAll(() => gpu.destroy());

describeColumnSolver('webgpu', {
  statistics: path.join(import.meta.dirname, '../../../../packages/testkit/fixtures/golden'),
  solver: createWebgpuColumnSolver(gpu.programs(), { threads: 0 }),
  small: createWebgpuColumnSolver(gpu.programs(tinyTraits), { threads: 0 }),
  narrow: createWebgpuColumnSolver(gpu.programs({ ...guaranteedTraits, maximumBinding: 4096 }), { threads: 0 }),
});
