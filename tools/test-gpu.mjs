// npm run test:gpu: the WebGPU suites on the machine's own GPU: kernels, conformance with ONNX's node cases, architectures, techniques, the example with a kernel of its own.
// Needs the packages to be built ("npm run build"); refuses software adapters, which `npm run verify` tests.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bin, capture, requireNode, root, run, step } from './steps.mjs';

requireNode();
// The drivers of the system, not the software one that other tests take.
const env = { ...process.env, PARE_WEBGPU_DRIVER: 'system' };

const command = join(root, 'apps/cli/dist/main.js');
if (!existsSync(command)) {
  console.error('The packages are not built: run "npm run build" first.');
  process.exit(2);
}
const { score, reason, device } = JSON.parse(await capture(process.execPath, [command, 'backends', '--json'], { env })).find(({ id }) => id === 'webgpu');
console.log(`webgpu: ${device?.name ?? 'no adapter'}, score ${String(score)} (${reason})`);
if (score < 50) {
  console.error('There is no GPU that WebGPU can use here. Install its Vulkan driver, and unset VK_DRIVER_FILES where it names a software one.');
  process.exit(2);
}

/** Techniques whose conformance suite runs on webgpu, too. */
const techniques = readdirSync(join(root, 'plugins'))
  .filter((folder) => folder.startsWith('technique-'))
  .filter((folder) => {
    const suite = join(root, 'plugins', folder, 'src/conformance.test.ts');
    return existsSync(suite) && readFileSync(suite, 'utf8').includes('@pare/backend-webgpu');
  });
const suites = [
  ['plugins/backend-webgpu'],
  ['packages/model', 'src/forward/block-runner.test.ts', '-t', 'webgpu'],
  ...techniques.map((folder) => [`plugins/${folder}`, 'src/conformance.test.ts']),
  ['plugins/technique-gptq', 'src/lost-device.test.ts', 'src/equal-inputs.test.ts'],
  ['tools/checks', 'src/kernel-plugin.test.ts'],
];
let failed = 0;
for (const [folder, ...args] of suites) {
  const code = await step([folder, ...args].join(' '), () => run(process.execPath, [bin('vitest'), 'run', '--root', join(root, folder), ...args], { env }));
  if (code !== 0) failed++;
}
console.log(`${String(suites.length - failed)} passed, ${String(failed)} failed`);
process.exitCode = failed === 0 ? 0 : 1;
