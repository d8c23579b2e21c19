import { isPareError, type Backend, type Graph, type HostTensor, type Model } from '@pare/core';
import { gpt2Architecture } from '@pare/architecture-gpt2';
import { llamaArchitecture } from '@pare/architecture-llama';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { referenceBackend } from '@pare/backend-reference';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openModel, overlayModel } from '../open/index.js';
import { createBlockComparison, type BlockError } from './block-comparison.js';
import { createBlockRunner } from './block-runner.js';
import { compareHeads, type WindowComparison } from './compare-heads.js';

const folder = (name: string): string => fileURLToPath(new URL(`../../../testkit/fixtures/architectures/${name}`, import.meta.url));
const windows = [Int32Array.of(3, 17, 5, 99, 4, 23, 5, 8), Int32Array.of(150, 2, 2, 9, 33, 71, 12, 6), Int32Array.of(1, 5, 9)];

/** The model with a matrix's values changed. */
function changed(model: Model, module: string, change: (value: number, index: number) => number): Model {
  return overlayModel(
    model,
    new Map([
      [
        module,
        async () => {
          const dense = await model.denseWeight(module);
          return { form: 'dense' as const, shape: dense.shape, tensor: { ...dense, data: dense.data.map(change) } };
        },
      ],
    ]),
  );
}

/** A coarse grid, as quantization to few bits leaves it. */
const coarse = (value: number): number => Math.round(value / 0.02) * 0.02;

describe.each([
  { id: 'reference', create: () => referenceBackend.create({}, { log: console }) },
  { id: 'cpu', create: () => cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console }) },
])('two models on the $id backend', ({ create }) => {
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

  const open = (name: string): Promise<Model> => openModel(folder(name), { architectures: [llamaArchitecture, gpt2Architecture] });

  interface Comparison {
    readonly results: WindowComparison[];
    readonly logits: readonly HostTensor[][];
    readonly losses: readonly Float64Array[][];
  }

  /** Compares heads, and computes whole logits and likelihoods beside. */
  async function compare(original: Model, model: Model, options: { logitsBytes?: number; spillBytes?: number; chunkTokens?: number } = {}): Promise<Comparison> {
    const { chunkTokens = 16, logitsBytes, spillBytes } = options;
    await using first = createBlockRunner({ model: original, backend, chunkTokens, spillBytes });
    await using second = createBlockRunner({ model, backend, chunkTokens, spillBytes });
    await using x = await first.embed(windows);
    await using y = await second.embed(windows);
    for (const block of original.description.blocks.keys()) await first.advance(block, x);
    for (const block of model.description.blocks.keys()) await second.advance(block, y);
    const results = await compareHeads({ original: { model: original, hidden: x }, model: { model, hidden: y }, windows, backend, logitsBytes });
    return {
      results,
      logits: [await first.logits(x), await second.logits(y)],
      losses: [await first.negativeLogLikelihood(x, windows), await second.negativeLogLikelihood(y, windows)],
    };
  }

  /** ln softmax of each position of each window, in double precision. */
  function logarithms(chunks: readonly HostTensor[]): Float64Array[][] {
    return chunks.flatMap(({ data, shape: [count, length, vocabulary] }) =>
      Array.from({ length: count! }, (_, window) =>
        Array.from({ length: length! }, (__, position) => {
          const start = (window * length! + position) * vocabulary!;
          const row = Float64Array.from(data.subarray(start, start + vocabulary!) as Float32Array);
          const most = Math.max(...row);
          const total = most + Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0));
          return row.map((value) => value - total);
        }),
      ),
    );
  }

  it.each(['llama', 'gpt2'])('have the divergence that the definition gives (%s)', async (name) => {
    await using original = await open(name);
    const module = name === 'llama' ? 'model.layers.1.mlp.down_proj' : 'transformer.h.1.mlp.c_fc';
    const model = changed(original, module, coarse);
    const { results, logits, losses } = await compare(original, model);
    const [p, q] = logits.map(logarithms) as [Float64Array[][], Float64Array[][]];
    expect(results.map(({ divergence }) => divergence.length)).toEqual([7, 7, 2]);
    let most = 0;
    let agreements = 0;
    for (const [window, result] of results.entries()) {
      for (const [position, divergence] of result.divergence.entries()) {
        const [lnP, lnQ] = [p[window]![position]!, q[window]![position]!];
        const expected = lnP.reduce((sum, value, token) => sum + Math.exp(value) * (value - lnQ[token]!), 0);
        most = Math.max(most, expected);
        expect(Math.abs(divergence - expected)).toBeLessThan(1e-6);
        const next = windows[window]![position + 1]!;
        expect(result.originalLoss[position]).toBeCloseTo(-lnP[next]!, 5);
        expect(result.loss[position]).toBeCloseTo(-lnQ[next]!, 5);
        expect(result.loss[position]).toBeCloseTo(losses[1]![window]![position]!, 5);
        const same = lnP.indexOf(Math.max(...lnP)) === lnQ.indexOf(Math.max(...lnQ));
        expect(result.sameTop[position]).toBe(same ? 1 : 0);
        agreements += result.sameTop[position]!;
      }
    }
    expect(most).toBeGreaterThan(1e-4);
    expect(agreements).toBeGreaterThan(8);
  });

  it('have the same divergence however the vocabulary is sliced and the states are held', async () => {
    await using original = await open('llama');
    const model = changed(original, 'model.layers.0.mlp.up_proj', coarse);
    const whole = await compare(original, model);
    for (const options of [{ logitsBytes: 6 * 4 * 16 * 33 }, { logitsBytes: 1 }, { chunkTokens: 8, spillBytes: 2 * 8 * 64 * 4 }, { spillBytes: 0 }]) {
      const { results } = await compare(original, model, options);
      for (const [window, result] of results.entries()) {
        const expected = whole.results[window]!;
        expect(result.sameTop).toEqual(expected.sameTop);
        for (const key of ['divergence', 'originalLoss', 'loss'] as const) {
          result[key].forEach((value, position) => {
            expect(value).toBeCloseTo(expected[key][position]!, 5);
          });
        }
      }
    }
  });

  it('are compared within the memory that logits may take', async () => {
    await using original = await open('llama');
    const compiled: Graph[] = [];
    const watched: Backend = new Proxy(backend, {
      get: (target, key: keyof Backend) => {
        if (key === 'compile') return (graph: Graph) => (compiled.push(graph), target.compile(graph));
        const value: unknown = target[key];
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    await using runner = createBlockRunner({ model: original, backend, chunkTokens: 16 });
    await using hidden = await runner.embed(windows);
    const logitsBytes = 6 * 4 * 16 * 40;
    await compareHeads({ original: { model: original, hidden }, model: { model: original, hidden }, windows, backend: watched, logitsBytes });
    expect(compiled.length).toBeGreaterThan(0);
    for (const graph of compiled) {
      // Six values of [tokens, rows] at once; what leaves the graph is one value a token.
      const rows = graph.inputs.find(({ name }) => name === 'model.head.weight')!.shape![0] as number;
      expect(6 * 4 * 16 * rows).toBeLessThanOrEqual(logitsBytes);
      for (const { shape } of graph.outputs) expect(shape?.at(-1)).toBe(1);
    }
  });

  it('that are one do not diverge at all', async () => {
    await using original = await open('llama');
    for (const logitsBytes of [undefined, 6 * 4 * 16 * 50]) {
      const { results } = await compare(original, original, logitsBytes === undefined ? {} : { logitsBytes });
      for (const { divergence, sameTop, loss, originalLoss } of results) {
        expect(Math.max(...divergence)).toBe(0);
        expect(Math.min(...sameTop)).toBe(1);
        expect(loss).toEqual(originalLoss);
      }
    }
  });

  const code = async (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => undefined,
      (error: unknown) => (isPareError(error) ? [error.code, error.data] : error),
    );

  it('must have one vocabulary and finite logits', async () => {
    await using original = await open('llama');
    const other = { name: 'other', description: { ...original.description, vocabularySize: 100 } } as Model;
    await using runner = createBlockRunner({ model: original, backend });
    await using hidden = await runner.embed(windows);
    const work = compareHeads({ original: { model: original, hidden }, model: { model: other, hidden }, windows, backend });
    expect(await code(work)).toMatchObject(['PARE_VOCABULARY_MISMATCH', { expected: 160, model: 'other', found: 100 }]);
    const broken = changed(original, 'lm_head', (value, index) => (index < 64 ? 3e38 * Math.sign(value) : value));
    expect(await code(compare(original, broken))).toMatchObject(['PARE_LOGITS_NOT_FINITE', { window: 0, position: 0 }]);
  });

  /** Errors of all blocks. */
  async function blockErrors(original: Model, model: Model, spillBytes?: number): Promise<BlockError[]> {
    await using comparison = createBlockComparison({ original, model, backend, spillBytes });
    await comparison.embed(windows);
    const errors: BlockError[] = [];
    for (const _ of original.description.blocks) errors.push(await comparison.next());
    return errors;
  }

  it('differ in a block’s output by what the definition gives', async () => {
    await using original = await open('llama');
    const model = changed(changed(original, 'model.layers.0.mlp.down_proj', coarse), 'model.layers.1.self_attn.v_proj', coarse);
    const errors = await blockErrors(original, model);

    await using runner = createBlockRunner({ model: original, backend });
    const states = async (sources: readonly Model[]): Promise<number[][]> => {
      await using hidden = await runner.embed(windows);
      for (const [block, source] of sources.entries()) await runner.advance(block, hidden, source);
      const values = (await Promise.all(hidden.chunks.map((_, chunk) => hidden.read(chunk)))).flatMap(({ data }) => Array.from(data as Float32Array));
      return Array.from({ length: values.length / 64 }, (_, row) => values.slice(row * 64, (row + 1) * 64));
    };
    const square = (row: readonly number[]): number => row.reduce((sum, value) => sum + value * value, 0);
    const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
    for (const block of [0, 1]) {
      const y = await states(Array.from({ length: block + 1 }, () => original));
      for (const [key, sources] of [
        ['local', [...Array.from({ length: block }, () => original), model]],
        ['accumulated', Array.from({ length: block + 1 }, () => model)],
      ] as const) {
        const other = await states(sources);
        const errors2 = other.map((row, index) => square(row.map((value, at) => value - y[index]![at]!)));
        const energies = y.map(square);
        const expected = sum(errors2) / sum(energies);
        expect(expected).toBeGreaterThan(1e-8);
        expect(errors[block]![key] / expected).toBeCloseTo(1, 3);
        expect(errors[block]![`${key}ByToken`] / (sum(errors2.map((value, index) => value / energies[index]!)) / energies.length)).toBeCloseTo(1, 3);
      }
    }
    expect(errors[0]!.accumulated).toBe(errors[0]!.local);
    expect(errors[1]!.accumulated).toBeGreaterThan(errors[1]!.local);
    const spilled = await blockErrors(original, model, 0);
    spilled.forEach((error, block) => {
      expect(error.accumulated / errors[block]!.accumulated).toBeCloseTo(1, 5);
    });
    expect(await blockErrors(original, original)).toEqual([0, 1].map(() => ({ local: 0, accumulated: 0, localByToken: 0, accumulatedByToken: 0 })));
  });

  it('must have equal blocks and finite states', async () => {
    await using original = await open('llama');
    const shallow = { name: 'shallow', description: { ...original.description, blocks: original.description.blocks.slice(1) } } as unknown as Model;
    expect(() => createBlockComparison({ original, model: shallow, backend })).toThrow('shallow has 1 blocks of width 64');
    const broken = changed(original, 'model.layers.1.mlp.down_proj', (value) => 3e38 * Math.sign(value));
    expect(await code(blockErrors(original, broken))).toMatchObject(['PARE_STATES_NOT_FINITE', { block: 1, window: 0, position: 0 }]);
  });
});
