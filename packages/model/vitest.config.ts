import { packageTests } from '../../vitest.shared.ts';
import { useSoftwareVulkan } from '../../vitest.webgpu.ts';

useSoftwareVulkan();

// A software GPU shares the processors with everything else that is tested.
export default packageTests(import.meta.dirname, { pool: 'forks', testTimeout: 120_000 });
