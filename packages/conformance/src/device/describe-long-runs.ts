import { float32Tensor } from '@pare/core';
import type { ExecutorBackend } from '@pare/executor';
import { GraphBuilder } from '@pare/graph';
import { describe, expect, it } from 'vitest';

/** Checks that a backend over a kernel device keeps nothing over many runs, and can be opened again and again. */
export function describeLongRuns(name: string, create: () => Promise<ExecutorBackend>): void {
  describe(`${name} over a long run`, () => {
    it('survives thousands of small submissions without new buffers', async () => {
      await using backend = await create();
      const builder = new GraphBuilder('step');
      const x = builder.input('x', 'float32', [32]);
      builder.output(builder.add(builder.mul(x, 0.5), 1), 'y');
      await using executable = await backend.compile(builder.build());
      let state = backend.write(float32Tensor([32]));
      let created = 0;
      for (let round = 0; round < 5000; round++) {
        const { y } = await executable.run({ x: state });
        state[Symbol.dispose]();
        state = y!;
        if (round === 10) created = backend.buffersCreated;
        // As a program that looks at its results now and then.
        if (round % 1000 === 0) await backend.read(state);
      }
      expect(Array.from((await backend.read(state)).data as Float32Array)).toEqual(new Array(32).fill(2));
      state[Symbol.dispose]();
      expect(backend.buffersCreated).toBe(created);
      expect(backend.memory().tensors).toBe(0);
    });

    it('opens and closes devices again and again', async () => {
      for (let round = 0; round < 5; round++) {
        await using backend = await create();
        using tensor = backend.write(float32Tensor([3], [1, 2, 3]));
        expect(Array.from((await backend.read(tensor)).data as Float32Array)).toEqual([1, 2, 3]);
      }
    });
  });
}
