import { z } from 'zod';

export const optionsSchema = z.strictObject({
  powerPreference: z.enum(['high-performance', 'low-power']).default('high-performance').describe('Which GPU to take on machines that have several.'),
  software: z.boolean().default(true).describe('Whether adapters that compute on the processor may be taken.'),
});

export type WebgpuOptions = z.infer<typeof optionsSchema>;
