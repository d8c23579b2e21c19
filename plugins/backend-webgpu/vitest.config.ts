import { packageTests } from '../../vitest.shared.ts';
import { useSoftwareVulkan } from '../../vitest.webgpu.ts';

useSoftwareVulkan();

// One worker at a time: each opens a device, and a software device takes all processors.
export default packageTests(import.meta.dirname, { pool: 'forks', fileParallelism: false, testTimeout: 60_000 });
