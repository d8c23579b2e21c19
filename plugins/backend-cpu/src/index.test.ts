import { optionsJsonSchema } from '@pare/core';
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { missingLibrary } from './device-info.js';
import { cpuBackend } from './index.js';

it('says what it found, and what is missing elsewhere', async () => {
  expect(await cpuBackend.score()).toMatchObject({ score: 10, device: { parallelism: expect.any(Number) as number } });
  expect(missingLibrary('sunos', 'sparc')).toBe('onnxruntime-node has no library for sunos-sparc');
});

it('describes its options', () => {
  expect(optionsJsonSchema(cpuBackend.options)).toMatchObject({ properties: { threads: { type: 'integer', minimum: 0, default: 0 } } });
  for (const threads of [-1, 1.5, 'two']) expect(cpuBackend.options['~standard'].validate({ threads })).toHaveProperty('issues');
  expect(cpuBackend.options['~standard'].validate({})).toEqual({ value: { threads: 0 } });
});

it('lets the process end in the middle of a run', async () => {
  const here = fileURLToPath(import.meta.url);
  const script = `
    const jiti = require(${JSON.stringify(createRequire(here).resolve('jiti'))}).createJiti(${JSON.stringify(here)});
    (async () => {
      const { cpuBackend } = await jiti.import('./index.ts');
      const { GraphBuilder } = await jiti.import('@pare/graph');
      const builder = new GraphBuilder('square');
      const x = builder.input('x', 'float32', [1024, 1024]);
      builder.output(builder.matmul(x, x), 'y');
      const backend = await cpuBackend.create({ threads: 1 }, { log: console });
      const square = await backend.compile(builder.build());
      const zeros = backend.allocate('float32', [1024, 1024]);
      for (let run = 0; run < 50; run++) square.run({ x: zeros }).catch(() => undefined);
      setTimeout(() => process.exit(3), 20);
    })();`;
  const outcome = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
    execFile(process.execPath, ['--conditions=@pare/source', '-e', script], { env: { ...process.env, NODE_OPTIONS: '' } }, (error, _stdout, stderr) => {
      resolve({ code: error?.code ?? error?.signal, stderr });
    });
  });
  expect(outcome).toEqual({ code: 3, stderr: '' });
});
