import { existsSync } from 'node:fs';

/** Where Debian's chromium package keeps SwiftShader, a Vulkan driver that computes on the processor. */
const softwareDrivers = ['/usr/lib/chromium/vk_swiftshader_icd.json'];

/**
 * Lets WebGPU tests find a Vulkan driver: the machine's own, or, where VK_DRIVER_FILES does not say otherwise and a software driver is installed, that one. Workers
 * inherit the environment when they are forked, so a vitest configuration calls this before tests start.
 */
export function useSoftwareVulkan(): void {
  const driver = softwareDrivers.find((file) => existsSync(file));
  if (driver === undefined || process.env['VK_DRIVER_FILES'] !== undefined || process.env['PARE_WEBGPU_DRIVER'] === 'system') return;
  process.env['VK_DRIVER_FILES'] = driver;
  process.env['VK_ICD_FILENAMES'] = driver;
  process.env['LD_LIBRARY_PATH'] = [driver.slice(0, driver.lastIndexOf('/')), process.env['LD_LIBRARY_PATH']].filter((part) => part !== undefined && part !== '').join(':');
}
