import { describeColumnSolver } from '@pare/conformance';
import { createRandom, float32Tensor, float32ToBfloat16, hostTensor } from '@pare/core';
import { devicePrograms, type DevicePrograms, type DeviceTraits, type ExecutorBackend } from '@pare/executor';
import { createColumnSolver, quantizerRule, weightValues } from '@pare/solvers';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { createCudaBackend } from '../create-backend.js';
import { optionsSchema } from '../options.js';
import { createCudaColumnSolver } from './solver.js';

const opened: AsyncDisposable[] = [];
afterAll(async () => {
  for (const backend of opened) await backend[Symbol.asyncDispose]();
});

async function open(traits?: Partial<DeviceTraits>): Promise<ExecutorBackend> {
  const backend = await createCudaBackend(optionsSchema.parse({}), { traits });
  opened.push(backend);
  return backend;
}

const programs = async (traits?: Partial<DeviceTraits>): Promise<DevicePrograms> => (await open(traits)).capability(devicePrograms)!;

describeColumnSolver('cuda', {
  statistics: path.join(import.meta.dirname, '../../../../packages/testkit/fixtures/golden'),
  solver: createCudaColumnSolver(await programs(), { threads: 0 }),
  small: createCudaColumnSolver(await programs({ maximumBinding: 65_536 }), { threads: 0 }),
  narrow: createCudaColumnSolver(await programs({ maximumBinding: 4096 }), { threads: 0 }),
});

// 20 columns by kernels alone; 1,100 in three parts with products between them.
it.each([[20, false], [1100, false], [1100, true]])('solves %i columns where Gram matrix and weight lie, act-order %s', async (size, actOrder) => {
  const [rows, tokens] = [70, 2 * Math.min(size, 200)];
  const next = createRandom(size);
  const inputs = Float32Array.from({ length: size * tokens }, () => next() + next() - 1);
  const gram = new Float32Array(size * size);
  for (let token = 0; token < tokens; token++) {
    const row = inputs.subarray(token * size, (token + 1) * size);
    // The third input is always 0.
    row[2] = 0;
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) gram[i * size + j]! += row[i]! * row[j]!;
  }
  const weight = hostTensor('bfloat16', [rows, size], float32ToBfloat16(Float32Array.from({ length: rows * size }, () => next() - 0.5)));
  const request = { size, scale: 2 / tokens, damping: 0.01, dampingIncrement: 0.01, actOrder };
  const rule = quantizerRule({ bits: 4, symmetric: false, groupSize: 64, staticGroups: actOrder, clip: 'minmax', scaleType: 'bfloat16' });
  const reference = createColumnSolver({ threads: 0 });
  const backend = await open();
  const { resident, ...solver } = createCudaColumnSolver(backend.capability(devicePrograms)!, { threads: 0 });
  try {
    using matrix = backend.write(float32Tensor([size, size], gram));
    const expected = await reference.factorize({ ...request, gram });
    using factor = (await resident!.factorize({ ...request, gram: matrix }))!;
    // Another takes no place of it.
    using other = backend.write(float32Tensor([3, 3], [1, 0, 0, 0, 1, 0, 0, 0, 1]));
    using later = (await resident!.factorize({ ...request, size: 3, gram: other }))!;
    expect(later.size).toBe(3);
    const { upper, ...facts } = await factor.load();
    expect({ ...facts, upper: expected.upper }).toEqual(expected);
    let [error, norm] = [0, 0];
    for (const [index, value] of expected.upper.entries()) {
      error += (upper[index]! - value) ** 2;
      norm += value ** 2;
    }
    expect(Math.sqrt(error / norm)).toBeLessThan(2e-7);
    const wanted = await reference.sweep({ weight: weightValues(weight), rows, factor: expected, rule });
    const found = await resident!.sweep({ weight, rows, factor, rule });
    const equal = wanted.result.codes.reduce((sum, code, index) => sum + Number(code === found.result.codes[index]), 0);
    expect(equal / wanted.result.codes.length).toBeGreaterThanOrEqual(0.995);
    expect(Math.abs(found.loss / wanted.loss - 1)).toBeLessThan(0.005);
    // A mask goes to the host with the loaded factor.
    const masked = quantizerRule({ bits: 4, symmetric: false, groupSize: 64, staticGroups: true, clip: 'minmax', scaleType: 'bfloat16' }, new Uint8Array(rows * size).fill(1));
    expect((await resident!.sweep({ weight, rows, factor, rule: masked })).result.shape).toEqual([rows, size]);
    (weight.data as Uint16Array)[5] = 0x7fc0;
    await expect(resident!.sweep({ weight, rows, factor, rule })).rejects.toMatchObject({ code: 'PARE_WEIGHT_NOT_FINITE', data: { index: 5 } });
    using broken = backend.write(float32Tensor([2, 2], [1, NaN, 0, 1]));
    await expect(resident!.factorize({ ...request, size: 2, gram: broken })).rejects.toMatchObject({ code: 'PARE_STATISTIC_NOT_FINITE' });
  } finally {
    await solver.dispose();
    await reference.dispose();
  }
});
