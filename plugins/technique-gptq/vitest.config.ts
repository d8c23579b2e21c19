import { webgpuTests } from '../../vitest.webgpu.ts';

export default webgpuTests(import.meta.dirname, ['src/lost-device.test.ts', 'src/equal-inputs.test.ts']);
