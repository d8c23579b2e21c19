import { z } from 'zod';

/** Options of memory. */
export const memoryOptions = z.strictObject({
  keyValueType: z.enum(['float16', 'bfloat16', 'float32']).default('float16').describe('Type of the key-value cache for keyValueBytesPerToken. The details give 16 and 32 bits.'),
});

export type MemoryOptions = z.infer<typeof memoryOptions>;
