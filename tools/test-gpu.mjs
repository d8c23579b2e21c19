// npm run test:gpu: the WebGPU suites on the machine's own GPU: kernels, conformance with ONNX's node cases, architectures, techniques, the example with a kernel of its own.
import { join } from 'node:path';
import { bin, requireNode, root, run, step } from './steps.mjs';

requireNode();
// The drivers of the system, not the software one that other tests take.
const env = { ...process.env, PARE_WEBGPU_DRIVER: 'system' };
const suites = {
  'plugins/backend-webgpu': [],
  'packages/model': ['src/forward/block-runner.test.ts', '-t', 'webgpu'],
  'plugins/technique-gptq': ['src/conformance.test.ts', 'src/lost-device.test.ts'],
  'plugins/technique-sparsegpt': ['src/conformance.test.ts'],
  'tools/checks': ['src/kernel-plugin.test.ts'],
};
let failed = 0;
for (const [folder, args] of Object.entries(suites)) {
  const code = await step(folder, () => run(process.execPath, [bin('vitest'), 'run', '--root', join(root, folder), ...args], { env }));
  if (code !== 0) failed++;
}
console.log(`${String(Object.keys(suites).length - failed)} passed, ${String(failed)} failed`);
process.exitCode = failed === 0 ? 0 : 1;
