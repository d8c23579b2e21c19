import { webgpuTests } from '../../vitest.webgpu.ts';

export default webgpuTests(import.meta.dirname, process.env['PARE_CUDA'] === 'present' ? [] : ['src/equal-inputs.test.ts'], ['src/lost-device.test.ts']);
