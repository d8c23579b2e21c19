import { z } from 'zod';

export const layerErrorOptions = z.strictObject({
  samples: z.int().min(0).default(16).describe('Windows to compare, from the start of the text; 0 for all that it fills.'),
  sequenceLength: z.int().min(2).default(512).describe('Tokens of a window.'),
});

export type LayerErrorOptions = z.infer<typeof layerErrorOptions>;
