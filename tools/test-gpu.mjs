// npm run test:gpu [-- webgpu | cuda …]: the suites of GPU backends on the machine's own GPU: kernels, conformance with ONNX's node cases, the column solver, techniques, GPTQ of a whole model; for webgpu also
// architectures and the example with a kernel of its own. Without arguments, every backend that finds a GPU here. Needs the packages to be built ("npm run build"); refuses
// software adapters, which `npm run verify` tests.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bin, capture, requireNode, root, run, step } from './steps.mjs';

requireNode();
const known = ['webgpu', 'cuda'];
const asked = process.argv.slice(2);
const unknown = asked.filter((id) => !known.includes(id));
if (unknown.length > 0) {
  console.error(`There is no GPU backend ${unknown.join(', ')}; there are ${known.join(' and ')}.`);
  process.exit(2);
}
// The drivers of the system, not the software one that other tests take.
const env = { ...process.env, PARE_WEBGPU_DRIVER: 'system' };

const command = join(root, 'apps/cli/dist/main.js');
if (!existsSync(command)) {
  console.error('The packages are not built: run "npm run build" first.');
  process.exit(2);
}
const listings = JSON.parse(await capture(process.execPath, [command, 'backends', '--json'], { env })).filter(({ id }) => (asked.length === 0 ? known : asked).includes(id));
for (const { id, score, reason, device } of listings) console.log(`${id}: ${device?.name ?? 'no GPU'}, score ${String(score)} (${reason})`);
const present = listings.filter(({ score }) => score >= 50).map(({ id }) => id);
const missing = asked.filter((id) => !present.includes(id));
if (present.length === 0 || missing.length > 0) {
  console.error(`There is no GPU that ${(missing.length > 0 ? missing : known).join(' or ')} can use here; the lines above say why. WebGPU needs the GPU's Vulkan driver, and VK_DRIVER_FILES not to name one in software.`);
  process.exit(2);
}
if (present.includes('cuda')) env.PARE_CUDA = 'present';
if (!present.includes('webgpu')) env.PARE_WEBGPU = 'absent';

/** Techniques whose conformance suite runs on GPU backends, too. */
const techniques = readdirSync(join(root, 'plugins'))
  .filter((folder) => folder.startsWith('technique-'))
  .filter((folder) => {
    const suite = join(root, 'plugins', folder, 'src/conformance.test.ts');
    return existsSync(suite) && readFileSync(suite, 'utf8').includes('gpuBackends()');
  });
const suites = [
  ...present.map((id) => [`plugins/backend-${id}`]),
  ...techniques.map((folder) => [`plugins/${folder}`, 'src/conformance.test.ts']),
  ['plugins/technique-gptq', 'src/equal-inputs.test.ts'],
  ...(present.includes('webgpu')
    ? [
        ['packages/model', 'src/forward/block-runner.test.ts', '-t', 'webgpu'],
        ['plugins/technique-gptq', 'src/lost-device.test.ts'],
        ['tools/checks', 'src/kernel-plugin.test.ts'],
      ]
    : []),
];
let failed = 0;
for (const [folder, ...args] of suites) {
  const code = await step([folder, ...args].join(' '), () => run(process.execPath, [bin('vitest'), 'run', '--root', join(root, folder), ...args], { env }));
  if (code !== 0) failed++;
}
console.log(`${String(suites.length - failed)} passed, ${String(failed)} failed`);
process.exitCode = failed === 0 ? 0 : 1;
