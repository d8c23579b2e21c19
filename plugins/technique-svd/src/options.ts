import { rankOptions } from '@pare/factorization';
import { z } from 'zod';

/** Options of `svd`. */
export const svdOptions = z.strictObject({ ...rankOptions });

export type SvdOptions = z.output<typeof svdOptions>;
