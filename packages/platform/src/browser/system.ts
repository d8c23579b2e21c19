import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { memoryFiles } from '../memory-files.js';
import type { System } from '../system.js';
import { web } from './web-api.js';

export const defaultFiles: System['defaultFiles'] = memoryFiles();

/** A random number that the thread holds as a lock as long as it lives: other tabs can see it. */
export const processId: System['processId'] = 1 + Math.floor(Math.random() * 0x7ffffffe);

const lockName = (id: number): string => `pare-process-${String(id)}`;
void web.navigator?.locks?.request(lockName(processId), () => new Promise(() => undefined));

export const isRunning: System['isRunning'] = async (id) => {
  if (id === processId) return true;
  const { held = [] } = (await web.navigator?.locks?.query()) ?? {};
  return held.some(({ name }) => name === lockName(id));
};

export const createSha256: System['createSha256'] = () => {
  const hash = sha256.create();
  return { update: (data) => void hash.update(data), hex: () => bytesToHex(hash.digest()) };
};

export const environmentVariable: System['environmentVariable'] = () => undefined;

let peak = 0;

/** The JavaScript heap, which some browsers tell; array buffers and device memory are not in it. */
export const sampleMemory: System['sampleMemory'] = () => {
  const used = web.performance?.memory?.usedJSHeapSize;
  if (used === undefined) return undefined;
  peak = Math.max(peak, used);
  return { residentBytes: used, peakResidentBytes: peak };
};
