import { packageTests } from '../../vitest.shared.ts';

// One page at a time: the software renderer and the reference backend each take a core.
export default packageTests(import.meta.dirname, { include: ['test/**/*.test.ts'], fileParallelism: false, testTimeout: 180_000, hookTimeout: 60_000 });
