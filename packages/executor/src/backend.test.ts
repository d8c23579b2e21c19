import { hostTensor } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { expect, it } from 'vitest';
import { ExecutorBackend } from './backend.js';
import { CountingDevice, recordingLanguage, recordingRoutines } from './testing.js';

it('warns once of work that it hands to the host, whatever the shapes', async () => {
  const warnings: string[] = [];
  const log = { warn: (message: string) => warnings.push(message) };
  await using backend = new ExecutorBackend({ id: 'counting', device: new CountingDevice(), language: recordingLanguage(), routines: recordingRoutines(), log });
  const builder = new GraphBuilder('wide');
  const x = builder.input('x', 'float64', ['rows', 3]);
  builder.output(builder.op('Add', [builder.op('Mul', [x, x]), x]), 'y');
  await using executable = await backend.compile(builder.build());
  for (const rows of [2, 2, 5]) {
    using input = backend.write(hostTensor('float64', [rows, 3]));
    const { y } = await executable.run({ x: input });
    expect(y!.shape).toEqual([rows, 3]);
    y![Symbol.dispose]();
  }
  expect(warnings).toEqual(['Mul runs on the host: kernels do not compute in float64', 'Add runs on the host: kernels do not compute in float64']);
});
