import { describeRoutines } from '@pare/conformance';
import { devicePrograms } from '@pare/executor';
import { afterAll } from 'vitest';
import { createCudaBackend } from '../create-backend.js';
import { optionsSchema } from '../options.js';
import { cudaRoutines } from './index.js';

const backend = await createCudaBackend(optionsSchema.parse({}));
afterAll(() => backend[Symbol.asyncDispose]());

describeRoutines('cuda', { routines: cudaRoutines('float32'), runner: backend.capability(devicePrograms)! });
