import type { Backend } from '@pare/core';
import { check, type Check } from './check.js';
import type { Finding } from './finding.js';

/** A check on a backend of its own, which must hold no tensors afterwards. */
export function checkOnBackend(name: string, makeBackend: () => Backend | Promise<Backend>, title: string, work: (backend: Backend) => Promise<readonly Finding[]>): Check {
  return check(title, async () => {
    const backend = await makeBackend();
    try {
      const findings = await work(backend);
      return [...findings, ...leakFindings(name, backend)];
    } finally {
      await backend[Symbol.asyncDispose]();
    }
  });
}

/** Device tensors that nobody disposed. */
export function leakFindings(name: string, backend: Backend): Finding[] {
  const { tensors, bytes } = backend.memory();
  if (tensors === 0) return [];
  return [
    {
      fault: `${name} leaks: ${String(tensors)} device tensors are still alive after it ended`,
      expected: 'no device tensor alive',
      found: `${String(tensors)} of ${String(bytes)} bytes`,
      advice: 'dispose what you allocate; a scope does it also when an error is thrown: using scope = backend.scope(); scope.own(tensor)',
    },
  ];
}
