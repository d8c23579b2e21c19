import { readFile } from 'node:fs/promises';

/**
 * Most bytes of this process that were in physical memory at any time since it started. Linux says so in /proc; the general figure (`maxRSS`) is no less than
 * that of the process that started this one there, because it survives exec.
 */
export async function peakResidentBytes(): Promise<number> {
  const status = process.platform === 'linux' ? await readFile('/proc/self/status', 'utf8').catch(() => '') : '';
  const general = process.resourceUsage().maxRSS * 1024;
  return Math.max(peakFromStatus(status) ?? general, process.memoryUsage.rss());
}

/** VmHWM of a process status file, in bytes. */
export function peakFromStatus(status: string): number | undefined {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}
