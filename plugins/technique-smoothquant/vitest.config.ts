import { webgpuTests } from '../../vitest.webgpu.ts';

export default webgpuTests(import.meta.dirname);
