import { z } from 'zod';

/** Whether a technique of block scope calibrates on what its own results make of the text; its `inputs` follow from it. */
export function propagateErrorsOption(usual: boolean): z.ZodDefault<z.ZodBoolean> {
  return z.boolean().default(usual).describe('True to calibrate each block on what the compressed blocks before it make, so that it can make up for them; false to calibrate on what the blocks made before this stage.');
}
