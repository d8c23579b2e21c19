import { float32Tensor, pareError } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { describe, expect, it } from 'vitest';
import { ExecutorBackend } from '../backend.js';
import { lowerGraph } from '../lowering/lower-graph.js';
import { CountingDevice, recordingLanguage, recordingRoutines, testTraits } from '../testing.js';
import { BufferPool, roundedSize } from './buffer-pool.js';
import { planMemory } from './memory-plan.js';

/** A chain of products, which nothing fuses. */
function chain(steps: number) {
  const builder = new GraphBuilder('chain');
  let x = builder.input('x', 'float32', ['rows', 64]);
  const w = builder.input('w', 'float32', [64, 64]);
  for (let step = 0; step < steps; step++) x = builder.matmul(x, w);
  builder.output(x, 'y');
  return builder.build();
}

describe('planMemory', () => {
  it('needs two slots for a chain of any length', () => {
    const target = { language: recordingLanguage(), routines: recordingRoutines(), traits: testTraits };
    const lowered = lowerGraph(target, { graph: chain(20), wanted: undefined, inputShapes: { x: [10, 64], w: [64, 64] }, reads: [] });
    const { slots } = planMemory(lowered);
    expect(slots).toEqual([2560, 2560]);
  });

  it('never gives one slot to two values that live at the same time', () => {
    const builder = new GraphBuilder('tree');
    const w = builder.input('w', 'float32', [16, 16]);
    const leaves = Array.from({ length: 7 }, (_, index) => builder.matmul(builder.input(`x${String(index)}`, 'float32', [4 * (index + 1), 16]), w));
    builder.output(builder.matmul(builder.transpose(builder.concat(leaves, 0), [1, 0]), builder.concat([...leaves].reverse(), 0)), 'y');
    const inputShapes = { w: [16, 16], ...Object.fromEntries(leaves.map((_, index) => [`x${String(index)}`, [4 * (index + 1), 16]])) };
    const target = { language: recordingLanguage(), routines: recordingRoutines(), traits: testTraits };
    const lowered = lowerGraph(target, { graph: builder.build(), wanted: undefined, inputShapes, reads: [] });
    const { slots, slotOf } = planMemory(lowered);
    for (const [index, step] of lowered.steps.entries()) {
      // Values needed at this step or before it and again later.
      const living = [...slotOf].filter(([id]) => {
        const uses = lowered.steps.flatMap(({ operands }, at) => (operands.some(({ buffer }) => buffer === id) ? [at] : []));
        return uses[0]! <= index && uses.at(-1)! >= index;
      });
      expect(new Set(living.map(([, slot]) => slot)).size, step.kernel.name).toBe(living.length);
      for (const [id, slot] of living) expect(slots[slot]).toBeGreaterThanOrEqual(lowered.buffers[id]!.bytes);
    }
  });
});

describe('BufferPool', () => {
  it('uses buffers again, and gives back what is too much', () => {
    const device = new CountingDevice();
    const pool = new BufferPool(device, 4096);
    const [a, b] = [pool.acquire(1000), pool.acquire(1000)];
    pool.release(a);
    expect(pool.acquire(900)).toBe(a);
    pool.release(a);
    pool.release(b);
    expect([device.created, device.live]).toEqual([2, 2]);
    pool.release(pool.acquire(10_000));
    expect(device.live).toBeLessThan(3);
    pool.trim();
    expect(device.live).toBe(0);
  });

  it('gives back what is free when memory runs out, and says when that does not do', () => {
    const room = new (class extends CountingDevice {
      override createBuffer(bytes: number) {
        if (this.live === 2) throw pareError('PARE_BACKEND_OUT_OF_MEMORY', { backend: 'counting', operation: 'a buffer', reason: 'two are enough' });
        return super.createBuffer(bytes);
      }
    })();
    const pool = new BufferPool(room);
    const [a] = [pool.acquire(1000), pool.acquire(1000)];
    expect(() => pool.acquire(5000)).toThrow(expect.objectContaining({ code: 'PARE_BACKEND_OUT_OF_MEMORY' }));
    pool.release(a);
    expect(pool.acquire(5000).bytes).toBeGreaterThanOrEqual(5000);
    expect(room.live).toBe(2);
  });

  it('wastes at most an eighth, or the smallest buffer', () => {
    for (const bytes of [1, 256, 257, 5000, 1_000_001, 123_456_789]) {
      expect(roundedSize(bytes)).toBeGreaterThanOrEqual(bytes);
      expect(roundedSize(bytes)).toBeLessThanOrEqual(Math.max(256, bytes * 1.125 + 256));
    }
  });
});

describe('a steady loop', () => {
  it('creates no buffers and compiles nothing', async () => {
    const device = new CountingDevice();
    await using backend = new ExecutorBackend({ id: 'counting', device, language: recordingLanguage(), routines: recordingRoutines() });
    await using executable = await backend.compile(chain(30));
    using w = backend.write(float32Tensor([64, 64]));
    let x = backend.write(float32Tensor([10, 64]));
    const after: number[][] = [];
    for (let round = 0; round < 12; round++) {
      const { y } = await executable.run({ x, w });
      x[Symbol.dispose]();
      x = y!;
      after.push([device.created, device.compiled]);
    }
    x[Symbol.dispose]();
    expect(after.at(-1)).toEqual(after[1]);
    expect(backend.memory().tensors).toBe(1);
  });

  it('keeps a bounded number of plans', async () => {
    const device = new CountingDevice();
    await using backend = new ExecutorBackend({ id: 'counting', device, language: recordingLanguage(), routines: recordingRoutines() });
    await using executable = await backend.compile(chain(3));
    using w = backend.write(float32Tensor([64, 64]));
    for (let rows = 1; rows <= 100; rows++) {
      using x = backend.write(float32Tensor([rows, 64]));
      const { y } = await executable.run({ x, w });
      expect(y!.shape).toEqual([rows, 64]);
      y![Symbol.dispose]();
    }
    expect(backend.memory()).toMatchObject({ tensors: 1 });
  });
});
