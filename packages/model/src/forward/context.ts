import { float32Tensor, hostTensor, pareError, nearest, type Backend, type BlockDescription, type DeviceTensor, type Executable, type HostTensor, type InputQuantization, type InputScheme, type Model, type TensorScope } from '@pare/core';
import type { BlockGraph, BlockGraphOptions } from '../decoder/block-graph.js';
import { expertModeOn } from '../decoder/expert-mode.js';
import type { ExpertMode } from '../decoder/mlp.js';
import { blockPrefix, relativeBlock } from '../decoder/relative.js';
import { loadMatrices } from './device-weights.js';
import type { ExecutableCache } from './executables.js';
import type { HiddenStates } from './hidden-states.js';
import { inputRounding, tensorFloat32 } from './weights.js';

export type RunnerTask = 'embed' | 'collect' | 'advance' | 'likelihood';

/** How far a pass over the windows has come, in chunks. */
export interface RunnerProgress {
  readonly task: RunnerTask;
  readonly completed: number;
  readonly total: number;
}

/** What the passes of one runner share. */
export interface RunnerContext {
  readonly model: Model;
  readonly backend: Backend;
  readonly signal: AbortSignal | undefined;
  readonly executables: ExecutableCache;
  /** Graph inputs that blocks share, by key. */
  readonly constants: Map<string, DeviceTensor>;
  /** How experts run on the backend; decided at the first mixture. */
  experts: ExpertMode | undefined;
  report(task: RunnerTask, completed: number, total: number): void;
}

/** A graph over a block, compiled. */
export interface CompiledBlock<G extends BlockGraph> {
  readonly graph: G;
  readonly executable: Executable;
}

/** Description of a block by index. */
export function blockAt({ model }: RunnerContext, index: number): BlockDescription {
  const block = model.description.blocks[index];
  if (block === undefined) throw new RangeError(`block ${String(index)} of a model with ${String(model.description.blocks.length)}`);
  return block;
}

/** A module's name relative to its block. @throws PARE_MODULE_UNKNOWN when the module stands elsewhere. */
export function relativeModule({ model }: RunnerContext, block: BlockDescription, module: string): string {
  const prefix = blockPrefix(block);
  if (!module.startsWith(prefix)) throw pareError('PARE_MODULE_UNKNOWN', { module, nearest: nearest(module, model.modules.map(({ name }) => name)) });
  return module.slice(prefix.length);
}

/** Options of the graph over a block for windows of one length, with the weights of `source`. */
export function blockOptions(context: RunnerContext, block: BlockDescription, length: number, source: Model): BlockGraphOptions {
  const options = { block: relativeBlock(block), hiddenSize: context.model.description.hiddenSize, length, experts: 'all', inputs: roundedInputs(source, block) } as const;
  if (block.mlp.kind !== 'moe') return options;
  context.experts ??= expertModeOn(context.backend, context.model.description);
  return { ...options, experts: context.experts };
}

/** Linear layers of a block that round their inputs, by name relative to it; undefined when none does. */
export function roundedInputs({ modules }: Model, block: BlockDescription): Readonly<Record<string, InputScheme>> | undefined {
  const prefix = blockPrefix(block);
  const entries = modules.flatMap(({ name, input }) => (input !== undefined && name.startsWith(prefix) ? [[name.slice(prefix.length), input] as const] : []));
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** One compiled graph for each length of window that the hidden states have; the function looks a chunk's up. */
export async function compileByLength<G extends BlockGraph>(
  context: RunnerContext,
  block: BlockDescription,
  hidden: HiddenStates,
  source: Model,
  key: string,
  build: (options: BlockGraphOptions) => G,
): Promise<(chunk: number) => CompiledBlock<G>> {
  const byLength = new Map<number, CompiledBlock<G>>();
  for (const { length } of hidden.chunks) {
    if (byLength.has(length)) continue;
    const options = blockOptions(context, block, length, source);
    byLength.set(length, await context.executables.block(`${key} ${JSON.stringify(options)}`, () => build(options)));
  }
  return (chunk) => byLength.get(hidden.chunks[chunk]!.length)!;
}

/** The constants a graph asks for. They stay the runner's. */
export function constantsOf({ backend, constants }: RunnerContext, graph: BlockGraph): Record<string, DeviceTensor> {
  const inputs: Record<string, DeviceTensor> = {};
  for (const { name, key, tensor } of graph.constants) {
    let value = constants.get(key);
    if (value === undefined) {
      value = backend.write(tensor(), { transfer: true });
      constants.set(key, value);
    }
    inputs[name] = value;
  }
  return inputs;
}

/** The weights a graph asks for, on the device, in float32, and the numbers of static grids. They belong to the scope. */
export async function loadWeights(
  context: RunnerContext,
  block: BlockDescription,
  { parameters }: BlockGraph,
  source: Model,
  scope: TensorScope,
): Promise<Record<string, DeviceTensor>> {
  const prefix = blockPrefix(block);
  const weights: Record<string, DeviceTensor> = {};
  const grids = new Map<string, InputQuantization>();
  for (const { module, input } of parameters) {
    if (module !== undefined && input !== undefined && !grids.has(module)) grids.set(module, (await inputRounding(source, prefix + module))!);
  }
  for (const { name, module, input } of parameters) {
    if (module !== undefined && input === undefined) continue;
    weights[name] = scope.own(context.backend.write(module === undefined ? await tensorFloat32(source, prefix + name) : gridTensor(grids.get(module)!, input!)));
  }
  const matrices = parameters.filter(({ module, input }) => module !== undefined && input === undefined);
  let index = 0;
  for await (const matrix of loadMatrices(context, source, matrices.map(({ module }) => prefix + module!))) weights[matrices[index++]!.name] = scope.own(matrix);
  return weights;
}

/** A number of a static grid, shape []. */
function gridTensor({ scale, zero }: InputQuantization, part: 'scale' | 'zero'): HostTensor {
  return part === 'scale' ? float32Tensor([], Float32Array.of(scale!)) : hostTensor('int8', [], Int8Array.of(zero!));
}
