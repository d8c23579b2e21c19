import { packageTests } from '../../vitest.shared.ts';

// Tests on a GPU run where `npm run test:gpu` found one; all others need none.
const present = process.env['PARE_CUDA'] === 'present';

export default packageTests(import.meta.dirname, present ? { pool: 'forks', fileParallelism: false, testTimeout: 120_000 } : { exclude: ['**/*.gpu.test.ts'] });
