import { z } from 'zod';

/* Options that mean the same wherever a technique rounds weights to grids. */

/** Bits of a code. */
export const bitsOption: z.ZodDefault<z.ZodInt> = z.int().min(2).max(8).default(4).describe('Bits of a code, 2 to 8.');

/** Inputs that share a grid: −1, or 1 and more. */
export function groupSizeOption(usual: number, description = 'Inputs that share a grid; -1 for one grid an output. Must divide the input width.'): z.ZodDefault<z.ZodInt> {
  return z
    .int()
    .min(-1)
    .refine((size) => size !== 0, 'is -1 or at least 1')
    .default(usual)
    .describe(description);
}

/** Storage type of scales. */
export function scaleTypeOption(description: string): z.ZodDefault<z.ZodEnum<{ [T in 'auto' | 'float32' | 'float16' | 'bfloat16']: T }>> {
  return z.enum(['auto', 'float32', 'float16', 'bfloat16']).default('auto').describe(description);
}
