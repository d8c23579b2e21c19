import { float32Tensor, int64Tensor, pareError, throwIfAborted, type BlockDescription, type BlockHalf, type BlockTrials, type DeviceTensor, type HostTensor, type Model } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import type { BlockGraph, BlockGraphOptions } from '../decoder/block-graph.js';
import { buildHalfDistanceGraph, buildHalfGraph, buildHalfInputGraph } from '../decoder/half-graph.js';
import { blockPrefix } from '../decoder/relative.js';
import { blockAt, blockOptions, constantsOf, loadWeights, type CompiledBlock, type RunnerContext } from './context.js';
import type { HiddenStates } from './hidden-states.js';

/** Some windows of one length: what a half reads of them, and what it makes of that. */
interface Piece {
  readonly length: number;
  readonly tokens: number;
  readonly input: DeviceTensor;
  readonly expected: DeviceTensor;
}

interface PreparedHalf {
  readonly pieces: readonly Piece[];
  /** By name relative to the block. */
  readonly weights: Readonly<Record<string, DeviceTensor>>;
}

/** Trials that hold device memory. */
export type HeldTrials = BlockTrials & Disposable;

/**
 * Trials of a block on windows spread over the hidden states, about `tokens` tokens of them and at least one window. A half's inputs, outputs and weights stay on the device from its first
 * trial until disposal.
 */
export function createTrials(context: RunnerContext, index: number, hidden: HiddenStates, tokens: number, source: Model): HeldTrials {
  const { backend, executables, signal } = context;
  const block = blockAt(context, index);
  const prefix = blockPrefix(block);
  const chosen = chooseWindows(hidden, tokens);
  const scope = backend.scope();
  const halves = new Map<BlockHalf, Promise<PreparedHalf>>();

  const compiled = (name: string, half: BlockHalf, length: number, build: (options: BlockGraphOptions, half: BlockHalf) => BlockGraph): Promise<CompiledBlock<BlockGraph>> => {
    const options = blockOptions(context, block, length, source);
    return executables.block(`${name} ${half} ${JSON.stringify(options)}`, () => build(options, half));
  };

  async function prepare(half: BlockHalf): Promise<PreparedHalf> {
    const pieces: Piece[] = [];
    const kept: Record<string, DeviceTensor> = {};
    using temporary = backend.scope();
    const before: Record<string, DeviceTensor> = {};
    for (const { chunk, windows } of chosen) {
      throwIfAborted(signal, 'trials');
      const { length } = hidden.chunks[chunk]!;
      const front = await compiled('half-input', half, length, buildHalfInputGraph);
      const whole = await compiled('half', half, length, buildHalfGraph);
      await addMissing(before, front.graph, block, temporary);
      await addMissing(kept, whole.graph, block, scope);
      const states = temporary.own(await hidden.use(chunk, (tensor) => selectWindows(context, tensor, windows)));
      const input = scope.own((await front.executable.run({ ...pick(before, front.graph), ...constantsOf(context, front.graph), hidden: states }))['output']!);
      const expected = scope.own((await whole.executable.run({ ...pick(kept, whole.graph), ...constantsOf(context, whole.graph), half_input: input }))['output']!);
      pieces.push({ length, tokens: windows.length * length, input, expected });
    }
    return { pieces, weights: kept };
  }

  async function addMissing(weights: Record<string, DeviceTensor>, graph: BlockGraph, of: BlockDescription, owner: typeof scope): Promise<void> {
    const missing = { ...graph, parameters: graph.parameters.filter(({ name }) => !(name in weights)) };
    Object.assign(weights, await loadWeights(context, of, missing, source, owner));
  }

  return {
    tokens: chosen.reduce((sum, { chunk, windows }) => sum + windows.length * hidden.chunks[chunk]!.length, 0),
    async loss(half, trial) {
      let prepared = halves.get(half);
      if (prepared === undefined) halves.set(half, (prepared = prepare(half)));
      const { pieces, weights } = await prepared;
      throwIfAborted(signal, 'trials');
      using temporary = backend.scope();
      const replaced: Record<string, DeviceTensor> = {};
      for (const [name, tensor] of trial) {
        const relative = name.startsWith(prefix) ? name.slice(prefix.length) : name;
        if (!(relative in weights)) throw pareError('PARE_TENSOR_UNKNOWN', { tensor: name, model: `the ${half} half of ${block.name}` });
        replaced[relative] = 'data' in tensor ? temporary.own(backend.write(float32Tensor(tensor.shape, tensor.data), { transfer: true })) : tensor;
      }
      let sum = 0;
      let outputs = 0;
      for (const { length, tokens: count, input, expected } of pieces) {
        const { graph, executable } = await compiled('half-distance', half, length, buildHalfDistanceGraph);
        const { distance } = await executable.run({ ...pick({ ...weights, ...replaced }, graph), ...constantsOf(context, graph), half_input: input, expected }, signal === undefined ? {} : { signal });
        for (const value of (await backend.read(temporary.own(distance!))).data) sum += Number(value);
        outputs += count * hidden.hiddenSize;
      }
      return sum / outputs;
    },
    [Symbol.dispose]: () => scope[Symbol.dispose](),
  };
}

function pick(weights: Readonly<Record<string, DeviceTensor>>, { parameters }: BlockGraph): Record<string, DeviceTensor> {
  return Object.fromEntries(parameters.map(({ name }) => [name, weights[name]!]));
}

/** Windows at equal distances over all chunks: at least one, and no more than fit the tokens. */
function chooseWindows(hidden: HiddenStates, tokens: number): { readonly chunk: number; readonly windows: number[] }[] {
  const every = hidden.chunks.flatMap(({ count }, chunk) => Array.from({ length: count }, (_, window) => ({ chunk, window })));
  if (every.length === 0) return [];
  const count = Math.min(every.length, Math.max(1, Math.floor((tokens * every.length) / hidden.tokens)));
  const byChunk = new Map<number, number[]>();
  for (let index = 0; index < count; index++) {
    const { chunk, window } = every[Math.floor(((index + 0.5) * every.length) / count)]!;
    byChunk.set(chunk, [...(byChunk.get(chunk) ?? []), window]);
  }
  return [...byChunk].map(([chunk, windows]) => ({ chunk, windows }));
}

/** Some windows of a chunk as a tensor of their own. */
async function selectWindows({ backend, executables }: RunnerContext, chunk: DeviceTensor, windows: readonly number[]): Promise<DeviceTensor> {
  const executable = await executables.get(`select ${String(windows.length)} of ${chunk.shape.join()}`, () => {
    const builder = new GraphBuilder('select');
    builder.output(builder.gather(builder.input('hidden', 'float32', [...chunk.shape]), builder.input('windows', 'int64', [windows.length]), 0), 'selected');
    return builder.build();
  });
  using indices = backend.write(int64Tensor([windows.length], windows) satisfies HostTensor);
  return (await executable.run({ hidden: chunk, windows: indices }))['selected']!;
}
