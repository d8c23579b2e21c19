import { pareError, throwIfAborted, type Backend, type DeviceTensor, type Graph, type Model } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import { buildBlockGraph } from '../decoder/block-graph.js';
import { createBlockRunner, sharedChunkTokens } from './block-runner.js';
import { blockAt, compileByLength, constantsOf, loadWeights, type RunnerContext } from './context.js';
import { ExecutableCache } from './executables.js';
import type { HiddenStates } from './hidden-states.js';

export interface BlockComparisonOptions {
  readonly original: Model;
  /** Of the same width and depth as the original. */
  readonly model: Model;
  readonly backend: Backend;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of each model's hidden states above which they wait in a temporary file; 1 GiB by default. */
  readonly spillBytes?: number | undefined;
  readonly onProgress?: ((progress: { readonly completed: number; readonly total: number }) => void) | undefined;
}

/** How far a block's output is from the original's. Relative errors are ‖error‖² / ‖original output‖². */
export interface BlockError {
  /** Both blocks on the original's input: what compressing this block alone costs. */
  readonly local: number;
  /** Each block on its own model's input: with all that blocks before have added. */
  readonly accumulated: number;
  /** Means over tokens of each token's own relative error, in which tokens of large norm weigh no more than others. */
  readonly localByToken: number;
  readonly accumulatedByToken: number;
}

/** Streams two models through the same windows, block by block; two blocks' weights are on the device at any time. */
export interface BlockComparison extends AsyncDisposable {
  /** Starts with these windows. */
  embed(windows: readonly Int32Array[]): Promise<void>;
  /** Compares the next block's outputs, which become the inputs of the one after. @throws PARE_STATES_NOT_FINITE naming model, block and window */
  next(): Promise<BlockError>;
}

/**
 * Makes a comparison of two models' blocks. Nothing is read before it is used.
 * @throws PARE_BLOCKS_MISMATCH when the models differ in depth or width
 */
export function createBlockComparison({ original, model, backend, signal, spillBytes, onProgress }: BlockComparisonOptions): BlockComparison {
  const [expected, found] = [original, model].map(({ description }) => ({ blocks: description.blocks.length, width: description.hiddenSize })) as [Sizes, Sizes];
  if (expected.blocks !== found.blocks || expected.width !== found.width) {
    throw pareError('PARE_BLOCKS_MISMATCH', { original: original.name, expected: sizeText(expected), model: model.name, found: sizeText(found) });
  }
  const executables = new ExecutableCache(backend);
  const constants = new Map<string, DeviceTensor>();
  const contexts = [original, model].map((of): RunnerContext => ({ model: of, backend, signal, executables, constants, experts: undefined, report: () => undefined }));
  const [originalContext, modelContext] = contexts as [RunnerContext, RunnerContext];
  const states: HiddenStates[] = [];
  let block = 0;

  const disposeStates = async (): Promise<void> => {
    for (const hidden of states.splice(0)) await hidden[Symbol.asyncDispose]();
  };
  return {
    async embed(windows) {
      await disposeStates();
      block = 0;
      const chunkTokens = sharedChunkTokens(original, model);
      for (const of of [original, model]) {
        await using runner = createBlockRunner({ model: of, backend, peers: [], signal, chunkTokens, spillBytes });
        states.push(await runner.embed(windows));
      }
    },

    async next() {
      const [x, xHat] = states as [HiddenStates, HiddenStates];
      const sums = new ErrorSums();
      const blocks = [blockAt(originalContext, block), blockAt(modelContext, block)] as const;
      const compiled = [await compileByLength(originalContext, blocks[0], x, original, 'forward', buildBlockGraph), await compileByLength(modelContext, blocks[1], xHat, model, 'forward', buildBlockGraph)] as const;
      const difference = await executables.get('block error', () => buildErrorGraph(expected.width));
      const options = signal === undefined ? {} : { signal };
      using scope = backend.scope();
      const weights = [await loadWeights(originalContext, blocks[0], compiled[0](0).graph, original, scope), await loadWeights(modelContext, blocks[1], compiled[1](0).graph, model, scope)] as const;
      for (const [chunk, { first, length }] of x.chunks.entries()) {
        throwIfAborted(signal, 'the comparison of blocks');
        using step = backend.scope();
        const run = async (side: 0 | 1, hidden: DeviceTensor): Promise<DeviceTensor> => {
          const { executable, graph } = compiled[side](chunk);
          const { output } = await executable.run({ ...weights[side], ...constantsOf(contexts[side]!, graph), hidden }, options);
          return step.own(output!);
        };
        const [y, local] = await x.use(chunk, async (hidden) => [await run(0, hidden), await run(1, hidden)] as const);
        const accumulated = await xHat.use(chunk, (hidden) => run(1, hidden));
        const squares = await difference.run({ original: y, local, accumulated }, options);
        for (const tensor of Object.values(squares)) step.own(tensor);
        const read = async (name: string): Promise<Float32Array> => (await backend.read(squares[name]!)).data as Float32Array;
        const values = { energy: await read('energy'), local: await read('local.error'), accumulated: await read('accumulated.error') };
        const bad = sums.add(values);
        if (bad !== undefined) {
          const { position, side } = bad;
          throw pareError('PARE_STATES_NOT_FINITE', { model: (side === 0 ? original : model).name, block, window: first + Math.floor(position / length), position: position % length });
        }
        await x.replace(chunk, step.keep(y));
        await xHat.replace(chunk, step.keep(accumulated));
        onProgress?.({ completed: chunk + 1, total: x.chunks.length });
      }
      block++;
      return sums.result();
    },

    async [Symbol.asyncDispose]() {
      await disposeStates();
      for (const tensor of constants.values()) tensor[Symbol.dispose]();
      constants.clear();
      await executables[Symbol.asyncDispose]();
    },
  };
}

interface Sizes {
  readonly blocks: number;
  readonly width: number;
}

function sizeText({ blocks, width }: Sizes): string {
  return `${String(blocks)} blocks of width ${String(width)}`;
}

/** Squared norms of each position, [batch, length]: of the original's output, and of what the two others differ by. */
function buildErrorGraph(width: number): Graph {
  const builder = new GraphBuilder('block-error');
  const input = (name: string): Value => builder.input(name, 'float32', ['batch', 'length', width]);
  const squares = (values: Value): Value => builder.reduceSum(builder.mul(values, values), [2]);
  const original = input('original');
  builder.output(squares(original), 'energy');
  for (const name of ['local', 'accumulated']) builder.output(squares(builder.sub(input(name), original)), `${name}.error`);
  return builder.build();
}

/** Sums over positions, in double precision. */
class ErrorSums {
  #energy = 0;
  #local = 0;
  #accumulated = 0;
  #localByToken = 0;
  #accumulatedByToken = 0;
  #tokens = 0;

  /** Adds a chunk; returns the first position whose values are not finite, and which side's they are. */
  add({ energy, local, accumulated }: Readonly<Record<'energy' | 'local' | 'accumulated', Float32Array>>): { position: number; side: 0 | 1 } | undefined {
    for (let position = 0; position < energy.length; position++) {
      const [e, l, a] = [energy[position]!, local[position]!, accumulated[position]!];
      if (!Number.isFinite(e)) return { position, side: 0 };
      if (!Number.isFinite(l) || !Number.isFinite(a)) return { position, side: 1 };
      this.#energy += e;
      this.#local += l;
      this.#accumulated += a;
      this.#localByToken += relative(l, e);
      this.#accumulatedByToken += relative(a, e);
      this.#tokens++;
    }
    return undefined;
  }

  result(): BlockError {
    return {
      local: relative(this.#local, this.#energy),
      accumulated: relative(this.#accumulated, this.#energy),
      localByToken: this.#localByToken / this.#tokens,
      accumulatedByToken: this.#accumulatedByToken / this.#tokens,
    };
  }
}

/** 0/0 is no error. */
function relative(error: number, energy: number): number {
  return error === 0 ? 0 : error / energy;
}
