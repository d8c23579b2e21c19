import { dtypeNames } from '@pare/onnx-decoder';
import { z } from 'zod';

const providers = ['cpu', 'cuda', 'webgpu', 'dml', 'coreml'] as const;

/** Options of latency. */
export const latencyOptions = z.strictObject({
  folder: z.string().default('').describe('Folder whose onnx/model*.onnx is measured; empty for the folder of the model.'),
  dtype: z
    .enum(['auto', ...dtypeNames])
    .default('auto')
    .describe("File to measure, by transformers.js's names. auto: the one that config.json names as its default, else the only one, else fp32."),
  provider: z.enum(providers).default('cpu').describe("onnxruntime's execution provider."),
  threads: z.int().min(0).max(1024).default(0).describe('Threads inside an operator; 0 leaves the number to onnxruntime.'),
  promptLengths: z.array(z.int().min(1)).min(1).default([128]).describe('Tokens of the prompts. The metrics are of the first, the details of all.'),
  newTokens: z.int().min(1).default(64).describe('Tokens decoded one at a time after the first.'),
  batch: z.int().min(1).default(1).describe('Sequences at once.'),
  warmups: z.int().min(0).default(3).describe('Runs before any is counted.'),
  runs: z.int().min(1).default(10).describe('Runs that count, each a prompt and its new tokens.'),
  maximumSeconds: z.number().positive().default(60).describe('Counted runs of one prompt length end after this time, but not before three of them.'),
});

export type LatencyOptions = z.infer<typeof latencyOptions>;
