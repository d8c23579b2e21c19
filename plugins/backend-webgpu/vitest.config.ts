import { webgpuTests } from '../../vitest.webgpu.ts';

const settings = webgpuTests(import.meta.dirname);

// Every test of this package opens a device.
export default process.env['PARE_WEBGPU'] === 'absent' ? webgpuTests(import.meta.dirname, { include: [], passWithNoTests: true }) : settings;
