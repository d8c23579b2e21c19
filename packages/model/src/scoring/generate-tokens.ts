import {
  float32Tensor,
  hostTensor,
  int64Tensor,
  pareError,
  throwIfAborted,
  type Backend,
  type DecoderDescription,
  type DeviceTensor,
  type Executable,
  type Graph,
  type HostTensor,
  type InputQuantization,
  type LinearDescription,
  type Model,
  type TensorScope,
} from '@pare/core';
import { GraphBuilder, removeUnused, type Value } from '@pare/graph';
import { InputRounding, staticInputConstants } from '@pare/weights';
import { addCachedDecoder, type CachedDecoderScope } from '../decoder/cached-decoder.js';
import { expertModeOn } from '../decoder/expert-mode.js';
import type { ExpertMode } from '../decoder/mlp.js';
import { denseLinear } from '../decoder/scope.js';
import { inputRounding, moduleRows, tensorFloat32 } from '../forward/weights.js';

/** One call of a generator. */
export interface GenerationRequest {
  readonly signal?: AbortSignal | undefined;
  /** Texts to continue, each of at least one token. */
  readonly prompts: readonly Int32Array[];
  readonly maxNewTokens: number;
  /** Prompts that run together; 16 by default. */
  readonly batchSize?: number | undefined;
  /** Chooses the next token of a prompt from its logits [vocabulary]. */
  readonly pick: (logits: Float32Array, prompt: number) => number;
  /** Whether a prompt is done, given its new tokens so far, the last of which was just chosen. */
  readonly done: (tokens: readonly number[], prompt: number) => boolean;
  /** Prompts that are done, of all. */
  readonly onProgress?: ((completed: number, total: number) => void) | undefined;
}

export interface GeneratorOptions {
  readonly model: Model;
  readonly backend: Backend;
  readonly signal?: AbortSignal | undefined;
  /**
   * Weights that are on the device already: float32 by stored name, matrices [out, in]. They stay the caller's, who may replace them between calls, as training does. Those that are
   * missing come from the model.
   */
  readonly parameters?: ReadonlyMap<string, DeviceTensor> | undefined;
}

export type GenerateOptions = GeneratorOptions & GenerationRequest;

/**
 * Continues texts with a key-value cache, several at a time; returns the new tokens of each. Prompts of a batch are padded on the left. All weights are on the device together, in
 * float32, unlike in the passes that go block by block; so are a batch's keys and values.
 *
 * @throws PARE_WINDOW_TOO_LONG when a prompt and its new tokens outnumber the model's positions, PARE_TOKEN_OUT_OF_RANGE, PARE_ABORTED
 */
export async function generateTokens(options: GenerateOptions): Promise<number[][]> {
  const { model, prompts, maxNewTokens } = options;
  checkPrompts(model.description, prompts, maxNewTokens);
  if (prompts.length === 0 || maxNewTokens === 0) return prompts.map(() => []);
  await using generator = await TokenGenerator.create(options);
  return await generator.generate(options);
}

/** A compiled decoder and its weights for many calls, such as the samples of each step of a training. */
export class TokenGenerator implements AsyncDisposable {
  readonly #options: GeneratorOptions;
  readonly #executable: Executable;
  readonly #weights: TensorScope;
  readonly #own: Readonly<Record<string, DeviceTensor>>;
  #reorder: Promise<Executable> | undefined;

  private constructor(options: GeneratorOptions, executable: Executable, weights: TensorScope, own: Readonly<Record<string, DeviceTensor>>) {
    this.#options = options;
    this.#executable = executable;
    this.#weights = weights;
    this.#own = own;
  }

  static async create(options: GeneratorOptions): Promise<TokenGenerator> {
    const { model, backend, signal, parameters: given } = options;
    const { graph, parameters } = buildGraph(model.description, expertModeOn(backend, model.description), await inputRoundings(model));
    const executable = await backend.compile(graph);
    const scope = backend.scope();
    try {
      const own: Record<string, DeviceTensor> = {};
      for (const { name, matrix } of parameters) {
        if (given?.has(name) === true) continue;
        throwIfAborted(signal, 'generation');
        own[name] = scope.own(backend.write(matrix === undefined ? await tensorFloat32(model, name) : await float32Matrix(model, matrix), { transfer: true }));
      }
      return new TokenGenerator(options, executable, scope, own);
    } catch (error) {
      scope[Symbol.dispose]();
      await executable[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The new tokens of each prompt. @throws as `generateTokens` */
  async generate(request: GenerationRequest): Promise<number[][]> {
    const { prompts, maxNewTokens, batchSize = 16, signal } = request;
    checkPrompts(this.#options.model.description, prompts, maxNewTokens);
    const results: number[][] = prompts.map(() => []);
    if (maxNewTokens === 0) return results;
    let completed = 0;
    for (const batch of batchesByLength(prompts, batchSize)) {
      using decoding = this.begin(batch.map((prompt) => prompts[prompt]!), maxNewTokens, signal);
      await generateBatch(decoding, batch, request, results);
      completed += batch.length;
      request.onProgress?.(completed, prompts.length);
    }
    return results;
  }

  /**
   * Prompts to be continued together, whose tokens the caller chooses; he disposes the batch before the generator. Weights are those of now.
   * @throws as `generateTokens`
   */
  begin(prompts: readonly Int32Array[], maxNewTokens: number, signal?: AbortSignal): DecodingBatch {
    const { model, backend, parameters } = this.#options;
    checkPrompts(model.description, prompts, maxNewTokens);
    const names = new Set(this.#executable.graph.inputs.map(({ name }) => name));
    const weights = { ...Object.fromEntries([...(parameters ?? [])].filter(([name]) => names.has(name))), ...this.#own };
    return new DecodingBatch({ backend, description: model.description, executable: this.#executable, weights, prompts, signal, reorder: () => (this.#reorder ??= backend.compile(reorderGraph(model.description))) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#weights[Symbol.dispose]();
    await this.#executable[Symbol.asyncDispose]();
    await (await this.#reorder)?.[Symbol.asyncDispose]();
  }
}

/** What the prompts of a batch share. */
interface BatchOptions {
  readonly backend: Backend;
  readonly description: DecoderDescription;
  readonly executable: Executable;
  readonly weights: Readonly<Record<string, DeviceTensor>>;
  readonly prompts: readonly Int32Array[];
  readonly signal: AbortSignal | undefined;
  /** Picks rows of keys and values. */
  readonly reorder: () => Promise<Executable>;
}

/** Prompts that are continued together, token by token, with their keys and values on the device. Prompts are padded on the left. */
export class DecodingBatch implements Disposable {
  readonly #options: BatchOptions;
  readonly #inputNames: ReadonlySet<string>;
  readonly #padding: readonly number[];
  #caches: Record<string, DeviceTensor> = {};
  #past = 0;

  /** @internal `TokenGenerator.begin` makes batches. */
  constructor(options: BatchOptions) {
    const { backend, description, executable, prompts } = options;
    this.#options = options;
    this.#inputNames = new Set(executable.graph.inputs.map(({ name }) => name));
    const longest = Math.max(...prompts.map(({ length }) => length));
    this.#padding = prompts.map(({ length }) => longest - length);
    for (const [index, { attention }] of description.blocks.entries()) {
      for (const part of ['key', 'value']) {
        const empty = float32Tensor([prompts.length, attention.kvHeads, 0, attention.headSize]);
        this.#caches[`past_key_values.${String(index)}.${part}`] = backend.write(empty, { transfer: true });
      }
    }
  }

  /** Logits of the first new token of each prompt, [vocabulary] each. Called once, before `next`. */
  first(): Promise<Float32Array[]> {
    return this.#advance(this.#options.prompts.map((prompt, row) => [...new Array<number>(this.#padding[row]!).fill(0), ...prompt]));
  }

  /** Logits of the token behind these, one for each prompt; a prompt that is done takes any. */
  next(tokens: readonly number[]): Promise<Float32Array[]> {
    return this.#advance(tokens.map((token) => [token]));
  }

  /**
   * As `next`, where each row first takes over what another row has read, of the same prompt: how beams fork.
   * @param parents by row, the row that it goes on from
   */
  async fork(parents: readonly number[], tokens: readonly number[]): Promise<Float32Array[]> {
    if (parents.some((parent, row) => parent !== row)) {
      const { backend, reorder } = this.#options;
      using rows = backend.write(hostTensor('int64', [parents.length], BigInt64Array.from(parents, BigInt)), { transfer: true });
      const caches = await (await reorder()).run({ ...this.#caches, rows });
      this[Symbol.dispose]();
      this.#caches = Object.fromEntries(Object.entries(caches).map(([name, tensor]) => [name.replace('forked', 'past_key_values'), tensor]));
    }
    return this.next(tokens);
  }

  /** @param columns tokens by prompt, the same number of each */
  async #advance(columns: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const { backend, executable, weights, signal } = this.#options;
    throwIfAborted(signal, 'generation');
    const [past, padding] = [this.#past, this.#padding];
    const width = columns[0]!.length;
    using step = backend.scope();
    const rows = (width: number, value: (row: number, column: number) => number): DeviceTensor =>
      step.own(backend.write(int64Matrix(columns.length, width, value), { transfer: true }));
    const inputs: Record<string, DeviceTensor> = {
      input_ids: rows(width, (row, column) => columns[row]![column]!),
      attention_mask: rows(past + width, (row, column) => (column < padding[row]! ? 0 : 1)),
      position_ids: rows(width, (row, column) => Math.max(0, past + column - padding[row]!)),
    };
    const used = Object.fromEntries(Object.entries(inputs).filter(([name]) => this.#inputNames.has(name)));
    const { logits, ...present } = await executable.run({ ...weights, ...this.#caches, ...used }, signal === undefined ? {} : { signal });
    this[Symbol.dispose]();
    this.#caches = Object.fromEntries(Object.entries(present).map(([name, tensor]) => [name.replace('present', 'past_key_values'), tensor]));
    this.#past += width;
    const scores = (await backend.read(step.own(logits!))).data as Float32Array;
    const size = scores.length / columns.length;
    return columns.map((_, row) => scores.subarray(row * size, (row + 1) * size));
  }

  [Symbol.dispose](): void {
    for (const tensor of Object.values(this.#caches)) if (!tensor.disposed) tensor[Symbol.dispose]();
    this.#caches = {};
  }
}

/** Continues a batch of prompts; new tokens go to `results`, by prompt. */
async function generateBatch(decoding: DecodingBatch, batch: readonly number[], { maxNewTokens, pick, done }: GenerationRequest, results: readonly number[][]): Promise<void> {
  const open = new Set(batch);
  let logits = await decoding.first();
  for (;;) {
    const tokens = batch.map((prompt, row) => {
      if (!open.has(prompt)) return 0;
      const token = pick(logits[row]!, prompt);
      results[prompt]!.push(token);
      if (results[prompt]!.length === maxNewTokens || done(results[prompt]!, prompt)) open.delete(prompt);
      return token;
    });
    if (open.size === 0) return;
    logits = await decoding.next(tokens);
  }
}

/** Prompts by number in batches of similar length: little padding. */
export function batchesByLength(prompts: readonly Int32Array[], batchSize: number): number[][] {
  const order = [...prompts.keys()].sort((left, right) => prompts[left]!.length - prompts[right]!.length || left - right);
  return Array.from({ length: Math.ceil(order.length / batchSize) }, (_, index) => order.slice(index * batchSize, (index + 1) * batchSize));
}

function checkPrompts({ maxPositions, vocabularySize }: DecoderDescription, prompts: readonly Int32Array[], maxNewTokens: number): void {
  for (const [window, ids] of prompts.entries()) {
    if (ids.length === 0) throw new RangeError(`prompt ${String(window)} is empty`);
    // The last new token is only ever predicted.
    const length = ids.length + maxNewTokens - 1;
    if (length > maxPositions) throw pareError('PARE_WINDOW_TOO_LONG', { length, positions: maxPositions });
    const position = ids.findIndex((id) => id < 0 || id >= vocabularySize);
    if (position >= 0) throw pareError('PARE_TOKEN_OUT_OF_RANGE', { token: ids[position]!, window, position, vocabulary: vocabularySize });
  }
}

function int64Matrix(rows: number, columns: number, value: (row: number, column: number) => number): HostTensor {
  const data = BigInt64Array.from({ length: rows * columns }, (_, index) => BigInt(value(Math.floor(index / columns), index % columns)));
  return columns === 0 ? int64Tensor([rows, 0], []) : hostTensor('int64', [rows, columns], data);
}

/** Rows of all keys and values by number: `past_key_values.0.key` and `rows` int64 [batch] → `forked.0.key`, … */
function reorderGraph(description: DecoderDescription): Graph {
  const builder = new GraphBuilder('reorder keys and values');
  const rows = builder.input('rows', 'int64', ['batch']);
  for (const [index, { attention }] of description.blocks.entries()) {
    for (const part of ['key', 'value']) {
      const past = builder.input(`past_key_values.${String(index)}.${part}`, 'float32', ['batch', attention.kvHeads, 'past', attention.headSize]);
      builder.output(builder.gather(past, rows, 0), `forked.${String(index)}.${part}`);
    }
  }
  return builder.build();
}

/** A graph input that holds weights: a stored tensor by its name, or the matrix [out, in] of a module. */
interface DecoderParameter {
  readonly name: string;
  readonly matrix: string | undefined;
}

function buildGraph(description: DecoderDescription, experts: ExpertMode, inputs: ReadonlyMap<string, InputQuantization>) {
  const builder = new GraphBuilder('decoder');
  const values = new Map<string, Value>();
  const parameters: DecoderParameter[] = [];
  const input = (name: string, shape: readonly number[], matrix?: string): Value => {
    let value = values.get(name);
    if (value === undefined) {
      value = builder.input(name, 'float32', shape);
      values.set(name, value);
      parameters.push({ name, matrix });
    }
    return value;
  };
  const rounding = new InputRounding(builder);
  const rounded = (x: Value, module: string): Value => {
    const grid = inputs.get(module);
    return grid === undefined ? x : rounding.round(x, grid, staticInputConstants(builder, grid));
  };
  const scope: CachedDecoderScope = {
    builder,
    dtype: 'float32',
    maskedScore: -1e30,
    parameter: (name, shape) => input(name, shape),
    linear: (x: Value, layer: LinearDescription) =>
      denseLinear(builder, rounded(x, layer.module), input(`${layer.module}.weight`, [layer.outFeatures, layer.inFeatures], layer.module), layer.bias ? input(`${layer.module}.bias`, [layer.outFeatures]) : undefined),
    tokenRows: ({ embedding, vocabularySize, hiddenSize }, ids) => builder.gather(input(`${embedding.module}.weight`, [vocabularySize, hiddenSize], embedding.module), ids, 0),
  };
  addCachedDecoder(scope, description, experts, 'last');
  const graph = removeUnused(builder.build());
  const read = new Set(graph.nodes.flatMap((node) => node.inputs));
  return { graph: { ...graph, inputs: graph.inputs.filter(({ name }) => read.has(name)) }, parameters: parameters.filter(({ name }) => read.has(name)) };
}

/** Linear layers that round their inputs, by name. */
async function inputRoundings(model: Model): Promise<Map<string, InputQuantization>> {
  const grids = new Map<string, InputQuantization>();
  for (const { name } of model.modules) {
    const grid = await inputRounding(model, name);
    if (grid !== undefined) grids.set(name, grid);
  }
  return grids;
}

/** A module's matrix [out, in] in float32, a copy that the caller may give away. */
async function float32Matrix(model: Model, module: string): Promise<HostTensor> {
  const info = model.modules.find(({ name }) => name === module);
  if (info?.layout === 'in-out' && info.form === 'dense') return model.denseWeight(module);
  const { shape, read } = await moduleRows(model, module);
  const copy = float32Tensor(shape);
  read(0, shape[0], copy.data);
  return copy;
}
