import { z } from 'zod';

/** Options of the cpu backend. */
export const cpuOptions = z.strictObject({
  threads: z.int().min(0).max(1024).default(0).describe('Threads that an operator or a solver loop may use; 0 for as many as the process may run at once.'),
});

export type CpuOptions = z.output<typeof cpuOptions>;
