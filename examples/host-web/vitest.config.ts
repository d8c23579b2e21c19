import { packageTests } from '../../vitest.shared.ts';

// One page at a time: the software renderer and the reference backend each take a core. `--model tales-7m` of test/run.mjs asks for the long run instead.
const include = process.env['PARE_PAGE_TEST'] === 'tales-7m' ? 'test/tales-7m.long.ts' : 'test/**/*.test.ts';
export default packageTests(import.meta.dirname, { include: [include], fileParallelism: false, testTimeout: 180_000, hookTimeout: 60_000 });
