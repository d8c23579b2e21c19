import { createHash } from 'node:crypto';
import type { Sha256, System } from '../system.js';
import { nodeFiles } from './node-files.js';

export const defaultFiles: System['defaultFiles'] = nodeFiles;

export const processId: System['processId'] = process.pid;

export const isRunning: System['isRunning'] = (process_) => {
  try {
    process.kill(process_, 0);
    return Promise.resolve(true);
  } catch (error) {
    return Promise.resolve((error as NodeJS.ErrnoException).code === 'EPERM');
  }
};

export const createSha256: System['createSha256'] = (): Sha256 => {
  const hash = createHash('sha256');
  return { update: (data) => void hash.update(data), hex: () => hash.digest('hex') };
};

export const environmentVariable: System['environmentVariable'] = (name) => process.env[name] || undefined;

export const sampleMemory: System['sampleMemory'] = () => {
  // maxRSS is in kibibytes on every system; it can lag behind what the process reports now.
  const residentBytes = process.memoryUsage.rss();
  return { residentBytes, peakResidentBytes: Math.max(residentBytes, process.resourceUsage().maxRSS * 1024) };
};
