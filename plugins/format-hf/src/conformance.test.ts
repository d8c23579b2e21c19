import { describeFormat } from '@pare/conformance';
import { folderBench, formatBench, type FolderBench } from '@pare/testkit';
import { afterAll } from 'vitest';
import { huggingFaceFormat } from './index.js';

let bench: FolderBench | undefined;
afterAll(() => bench?.[Symbol.asyncDispose]());

describeFormat(huggingFaceFormat, {
  ...formatBench,
  subjects: {
    ...formatBench.subjects,
    'a model of four bits in groups': async () => {
      bench ??= await folderBench();
      return bench.rounded('llama', () => ({ bits: 4, symmetric: true, groupSize: 32 }));
    },
  },
});
