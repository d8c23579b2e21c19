import { webgpuTests } from '../../vitest.webgpu.ts';

export default webgpuTests(import.meta.dirname, ['**/*.test.ts'], ['src/kernels/matmul-variants.test.ts']);
