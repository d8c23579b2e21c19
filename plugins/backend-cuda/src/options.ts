import { z } from 'zod';

export const optionsSchema = z.strictObject({
  device: z.int().min(0).default(0).describe('Number of the GPU, as nvidia-smi counts them.'),
  devices: z.int().min(1).default(1).describe('How many GPUs share the passes over calibration windows, counted from "device" on.'),
  precision: z
    .enum(['float32', 'tf32', 'bfloat16'])
    .default('float32')
    .describe('How matrix products and attention multiply: float32 exactly; tf32 (products only) and bfloat16 on tensor cores, with 11 and 8 significant bits. Sums are float32 always.'),
  libraries: z.string().optional().describe("Folder with CUDA's libraries, looked into before all others. PARE_CUDA_LIBRARIES names more."),
  cache: z.string().optional().describe("Folder for compiled kernels; one of the user's cache by default."),
});

export type CudaOptions = z.infer<typeof optionsSchema>;
