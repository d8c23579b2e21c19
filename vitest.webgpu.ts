import { existsSync, readdirSync } from 'node:fs';
import { findChromium } from './chromium.mjs';
import { packageTests } from './vitest.shared.ts';

/** Where Debian's chromium package keeps SwiftShader, a Vulkan driver that computes on the processor. */
const softwareDrivers = ['/usr/lib/chromium/vk_swiftshader_icd.json'];

/** Folders in which Vulkan drivers register themselves. */
const driverFolders = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d'];

const list = (folder: string): readonly string[] => (existsSync(folder) ? readdirSync(folder) : []);

/**
 * Lets WebGPU tests find a driver: the one that VK_DRIVER_FILES names, else the software one where it is installed, else the machine's own (always with
 * PARE_WEBGPU_DRIVER=system). Says whether there is any. Workers inherit the environment when they are forked, so a vitest configuration calls this before tests start.
 */
function findDriver(): boolean {
  if (process.env['VK_DRIVER_FILES'] !== undefined || process.platform !== 'linux') return true;
  const driver = softwareDrivers.find((file) => existsSync(file));
  if (driver === undefined || process.env['PARE_WEBGPU_DRIVER'] === 'system') return driverFolders.some((folder) => list(folder).length > 0);
  process.env['VK_DRIVER_FILES'] = driver;
  process.env['VK_ICD_FILENAMES'] = driver;
  process.env['LD_LIBRARY_PATH'] = [driver.slice(0, driver.lastIndexOf('/')), process.env['LD_LIBRARY_PATH']].filter((part) => part !== undefined && part !== '').join(':');
  return true;
}

/**
 * Settings of a package whose tests open WebGPU devices: in processes of their own, because Vulkan drivers are found through the environment, and with patience, because
 * a software GPU shares the processors with everything else that is tested. On a machine without any driver the tests on webgpu are left out, in CI never.
 *
 * @param only files in which every test needs a device
 * @param gpuOnly more of them, which take minutes in software: `npm run test:gpu` runs them on the machine's own GPU
 */
export function webgpuTests(directory: string, only: readonly string[] = [], gpuOnly: readonly string[] = []): ReturnType<typeof packageTests> {
  if (!findDriver() && process.env['CI'] === undefined) {
    process.env['PARE_WEBGPU'] = 'absent';
    process.stderr.write('No Vulkan driver was found: tests on webgpu are left out. Debian\'s chromium package brings a software one.\n');
  }
  const excluded = [
    ...(process.env['PARE_WEBGPU'] === 'absent' ? [...only, ...gpuOnly] : []),
    ...(process.env['PARE_WEBGPU_DRIVER'] === 'system' ? [] : gpuOnly),
    ...(findChromium() === undefined && process.env['CI'] === undefined ? ['src/chromium.test.ts'] : []),
  ];
  return packageTests(directory, { pool: 'forks', fileParallelism: false, testTimeout: 120_000, ...(excluded.length > 0 ? { exclude: excluded, passWithNoTests: true } : {}) });
}
