import { createRandom, float32Tensor, type DeviceTensor } from '@pare/core';
import { referenceBackend } from '@pare/backend-reference';
import { GraphBuilder } from '@pare/graph';
import { describe, expect, it } from 'vitest';
import { gramStatistic } from './gram.js';

describe('gramStatistic', () => {
  // One block, two equal ones, three of which the last is narrower.
  it.each([5, 770, 1000])('assembles the whole matrix of %i columns from its upper blocks', async (size) => {
    const backend = await referenceBackend.create({}, { log: console });
    const random = createRandom(size);
    const batches = [3, 2].map((rows) => Array.from({ length: rows }, () => Float32Array.from({ length: size }, () => random() - 0.5)));

    const builder = new GraphBuilder('gram');
    const x = builder.input('x', 'float32', ['rows', size]);
    const inputs = gramStatistic.state(size).map((tensor, index) => builder.input(`state.${String(index)}`, tensor.dtype, tensor.shape));
    gramStatistic.accumulate(builder, x, inputs, size).forEach((value, index) => builder.output(value, `next.${String(index)}`));
    await using executable = await backend.compile(builder.build());

    using scope = backend.scope();
    let state: DeviceTensor[] = gramStatistic.state(size).map(({ dtype, shape }) => scope.own(backend.allocate(dtype, shape)));
    for (const rows of batches) {
      const tensor = scope.own(backend.write(float32Tensor([rows.length, size], rows.flatMap((row) => Array.from(row)))));
      const next = await executable.run({ x: tensor, ...Object.fromEntries(state.map((entry, index) => [`state.${String(index)}`, entry])) });
      state = state.map((_, index) => scope.own(next[`next.${String(index)}`]!));
    }
    const elements = state.reduce((sum, { shape }) => sum + shape[0]! * shape[1]!, 0);
    if (size > 384) expect(elements).toBeLessThan(0.8 * size * size);

    const { matrix, rows } = await gramStatistic.finish(state, {
      backend,
      inFeatures: size,
      rows: 5,
      signal: undefined,
      run: async (_key, build, blocks) => {
        await using assembly = await backend.compile(build());
        return assembly.run(blocks);
      },
    });
    scope.own(matrix);
    expect([rows, matrix.shape]).toEqual([5, [size, size]]);
    const { data } = await backend.read(matrix);
    const all = batches.flat();
    let largest = 0;
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        const expected = all.reduce((sum, row) => sum + row[i]! * row[j]!, 0);
        largest = Math.max(largest, Math.abs(Number(data[i * size + j]) - expected));
      }
    }
    expect(largest).toBeLessThan(1e-5);
  });
});
