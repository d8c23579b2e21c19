import { createRandom, type Backend, type Model } from '@pare/core';
import { gptNeoxArchitecture } from '@pare/architecture-gpt-neox';
import { gpt2Architecture } from '@pare/architecture-gpt2';
import { llamaArchitecture } from '@pare/architecture-llama';
import { optArchitecture } from '@pare/architecture-opt';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { referenceBackend } from '@pare/backend-reference';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createBlockRunner } from '../forward/index.js';
import { openModel } from '../open/index.js';
import { scoreContinuations, type ScoringOptions } from './score-continuations.js';
import { treeRows, type Continuation } from './tree-rows.js';

const architectures = [llamaArchitecture, gpt2Architecture, gptNeoxArchitecture, optArchitecture];
const fixtures = ['gemma2', 'gpt2', 'gpt_neox', 'llama', 'llama-tied-rope-scaled', 'mistral', 'opt', 'phi3', 'qwen2', 'qwen3', 'qwen3_moe'];

const random = createRandom(7);
const tokens = (count: number): number[] => Array.from({ length: count }, () => Math.floor(random() * 160));

/** Sequences with a common prompt. */
function group(prompt: readonly number[], endings: readonly (readonly number[])[]): Continuation[] {
  return endings.map((ending) => ({ ids: Int32Array.from([...prompt, ...ending]), start: prompt.length }));
}

/** Groups of all kinds: endings of one token and of many, one that begins another, beginnings in common, prompts beyond sliding windows, sequences with nothing in common. */
function sampleGroups(): Continuation[][] {
  const [ending, stem] = [tokens(3), tokens(2)];
  return [
    group(tokens(9), [tokens(1), tokens(1), tokens(1)]),
    group(tokens(30), [tokens(4), tokens(12), tokens(1)]),
    group(tokens(5), [ending, [...ending, ...tokens(2)], [...ending, 3]]),
    group(tokens(40), [
      [...stem, ...tokens(20)],
      [...stem, ...tokens(30)],
    ]),
    [...group(tokens(6), [tokens(3)]), ...group(tokens(7), [tokens(2)])],
    group(tokens(1), [tokens(3)]),
    [],
  ];
}

describe('treeRows', () => {
  it('holds a common part once and no last token', () => {
    const [row, ...others] = treeRows([group([5, 6, 7], [[1, 2, 3], [1, 9], [4]])], 100);
    expect(others).toEqual([]);
    expect([...row!.tokens]).toEqual([5, 6, 7, 1, 2, 1]);
    expect([...row!.positions]).toEqual([0, 1, 2, 3, 4, 3]);
    expect([...row!.branches]).toEqual([0, 0, 0, 1, 1, 2]);
    expect(row!.picks.map(({ member, token, place }) => [member, token, place])).toEqual([
      [0, 1, 2],
      [0, 2, 3],
      [0, 3, 4],
      [1, 1, 2],
      [1, 9, 5],
      [2, 4, 2],
    ]);
  });

  it('repeats the common part where a row would grow too long', () => {
    const rows = treeRows([group([5, 6], [[1, 2, 3], [4, 5, 6], [7, 8]])], 6);
    expect(rows.map((row) => [...row.tokens])).toEqual([
      [5, 6, 1, 2, 4, 5],
      [5, 6, 7],
    ]);
  });
});

describe.each([
  { id: 'reference', create: () => referenceBackend.create({}, { log: console }) },
  { id: 'cpu', create: () => cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console }) },
])('scoreContinuations on the $id backend', ({ create }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await create();
  });
  afterEach(() => {
    expect(backend.memory().tensors).toBe(0);
  });
  afterAll(async () => {
    await backend[Symbol.asyncDispose]();
  });

  const open = (name: string): Promise<Model> => openModel(fileURLToPath(new URL(`../../../testkit/fixtures/architectures/${name}`, import.meta.url)), { architectures });

  /** Each sequence alone through the block runner: whole, by graphs that know nothing of trees. */
  async function oneByOne(model: Model, groups: readonly (readonly Continuation[])[]): Promise<number[][][]> {
    await using runner = createBlockRunner({ model, backend, chunkTokens: 1 });
    const windows = groups.flat().map(({ ids }) => ids);
    await using hidden = await runner.embed(windows);
    for (const block of model.description.blocks.keys()) await runner.advance(block, hidden);
    const losses = await runner.negativeLogLikelihood(hidden, windows);
    let next = 0;
    return groups.map((members) => members.map(({ start }) => Array.from(losses[next++]!.subarray(start - 1), (loss) => -loss)));
  }

  function expectClose(scores: readonly (readonly Float64Array[])[], expected: readonly (readonly (readonly number[])[])[]): void {
    expect(scores.map((members) => members.map(({ length }) => length))).toEqual(expected.map((members) => members.map(({ length }) => length)));
    const flat = scores.flat().flatMap((values) => [...values]);
    const difference = expected.flat(2).reduce((most, value, index) => Math.max(most, Math.abs(value - flat[index]!)), 0);
    // NaN would pass a comparison with the largest difference.
    expect(flat.every(Number.isFinite)).toBe(true);
    expect(difference).toBeLessThan(1e-4);
  }

  it.each(fixtures)('scores groups of %s as their sequences alone', async (name) => {
    await using model = await open(name);
    const groups = sampleGroups();
    const expected = await oneByOne(model, groups);
    expectClose(await scoreContinuations({ model, backend }, groups), expected);
  });

  it.each(['gemma2', 'gpt2', 'qwen3_moe'])('gives %s the same scores whatever the chunks, slices and places of the states are', async (name) => {
    await using model = await open(name);
    const groups = sampleGroups();
    const expected = await oneByOne(model, groups);
    const settings: Partial<ScoringOptions>[] = [{ chunkTokens: 1 }, { chunkTokens: 100, spillBytes: 0 }, { logitsBytes: 32 * 4 * 2 * 7 }];
    for (const setting of settings) expectClose(await scoreContinuations({ model, backend, ...setting }, groups), expected);
  });

  // Rows beyond 256 tokens have graphs that cut their queries into runs.
  it.each(['mistral', 'gpt2', 'gpt_neox'])('scores long rows of %s', async (name) => {
    await using model = await open(name);
    const groups = [
      group(tokens(100), [tokens(25), tokens(28), tokens(27), tokens(26), tokens(20), tokens(28), tokens(28)]),
      [...group(tokens(90), [tokens(20), tokens(30)]), ...group(tokens(90), [tokens(20), tokens(30)])],
      group(tokens(50), [tokens(2), tokens(3)]),
    ];
    expect(treeRows(groups, 600).map((row) => row.tokens.length)).toEqual([275, 456, 53]);
    const expected = await oneByOne(model, groups);
    for (const rowTokens of [600, 1]) expectClose(await scoreContinuations({ model, backend, rowTokens }, groups), expected);
  });

  it('reports progress and stops when it is cancelled', async () => {
    await using model = await open('llama');
    const steps: number[] = [];
    await scoreContinuations({ model, backend, chunkTokens: 50, onProgress: (completed, total) => void steps.push(completed / total) }, sampleGroups());
    expect(steps).toEqual([...steps].sort((a, b) => a - b));
    expect(steps.at(-1)).toBe(1);
    const controller = new AbortController();
    const run = scoreContinuations({ model, backend, chunkTokens: 50, signal: controller.signal, onProgress: () => controller.abort() }, sampleGroups());
    await expect(run).rejects.toMatchObject({ code: 'PARE_ABORTED' });
  });

  it('refuses what the model has no rows for', async () => {
    await using model = await open('gpt2');
    await expect(scoreContinuations({ model, backend }, [group(tokens(128), [[1, 2]])])).rejects.toMatchObject({ code: 'PARE_WINDOW_TOO_LONG', data: { length: 129, positions: 128 } });
    await expect(scoreContinuations({ model, backend }, [group([1, 160], [[1, 2]])])).rejects.toMatchObject({ code: 'PARE_TOKEN_OUT_OF_RANGE' });
    await expect(scoreContinuations({ model, backend }, [[{ ids: Int32Array.of(1, 2), start: 0 }]])).rejects.toThrow(RangeError);
    expect(await scoreContinuations({ model, backend }, [])).toEqual([]);
  });
});
