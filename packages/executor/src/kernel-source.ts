import { pareError } from '@pare/core';
import type { KernelSource } from './program.js';

/** Numbers of texts, which are long: keys name them. */
const textIds = new Map<string, number>();

/** Identifies a kernel by its text, entry, constants and launch; the name is for people. */
export function kernelKey({ code, entry, constants, library, invocations, workgroupMemory }: KernelSource): string {
  let id = textIds.get(code);
  if (id === undefined) textIds.set(code, (id = textIds.size));
  const values = Object.entries(constants).map(([name, value]) => `${name}=${String(value)}`);
  return [id, library ?? '', entry, invocations ?? 0, workgroupMemory ?? 0, values.join()].join(' ');
}

/** A kernel that its device does not take. @param line of the text, from 1, where the compiler names one */
export function kernelError(backend: string, kernel: KernelSource, problem: string, line: number | undefined): Error {
  const source = line === undefined || line === 0 ? undefined : `line ${String(line)}: ${kernel.code.split('\n')[line - 1]?.trim() ?? ''}`;
  return pareError('PARE_KERNEL_INVALID', { backend, kernel: kernel.name, problem: problem.split('\n')[0]!, source });
}
