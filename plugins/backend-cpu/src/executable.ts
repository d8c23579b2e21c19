import {
  checkRunInputs,
  planRun,
  isHostInitializer,
  pareError,
  readInitializer,
  throwIfAborted,
  type DType,
  type DeviceTensor,
  type Executable,
  type Graph,
  type Initializer,
  type RunOptions,
} from '@pare/core';
import { encodeOnnx, removeUnused } from '@pare/graph';
import type { TensorLedger } from './ledger.js';
import type { Failure, InputBinding, OutputBinding, TensorKey } from './protocol.js';
import { adaptBoundary, fileLimits, liftInitializers, type FileLimits, type SessionGraph } from './session-graph.js';
import { rewriteForSession } from './rewrite.js';
import { CpuTensor, ownTensor } from './tensor.js';
import { withCancellation, type WorkerChannel } from './worker-channel.js';

/** A session in the worker that computes some of the graph's outputs. */
interface Variant {
  readonly session: number;
  /** Names in the session; known as soon as the model is on its way to the worker. */
  readonly names: Promise<SessionGraph> | SessionGraph;
  /** Resolves when the session exists. */
  readonly ready: Promise<unknown>;
}

/**
 * A graph compiled by onnxruntime. onnxruntime computes every node of a session, whichever outputs are asked for; each set of outputs
 * therefore gets a session of its own, made when it is first asked for, with only the nodes it needs.
 */
export class CpuExecutable implements Executable {
  readonly graph: Graph;
  readonly #backend: string;
  readonly #channel: WorkerChannel;
  readonly #ledger: TensorLedger;
  readonly #limits: FileLimits;
  readonly #outputTypes: ReadonlyMap<string, DType>;
  readonly #variants = new Map<string, Variant>();
  /** Constants of a graph too large for one ONNX file: tensors in the worker, shared by the sessions. */
  readonly #constants = new Map<string, Promise<number>>();
  #disposed = false;

  private constructor(backend: string, channel: WorkerChannel, ledger: TensorLedger, graph: Graph, limits: FileLimits) {
    this.#limits = limits;
    this.#backend = backend;
    this.#channel = channel;
    this.#ledger = ledger;
    this.graph = graph;
    this.#outputTypes = new Map(graph.outputs.map(({ name, dtype }) => [name, dtype]));
  }

  static async compile(backend: string, channel: WorkerChannel, ledger: TensorLedger, graph: Graph, limits = fileLimits): Promise<CpuExecutable> {
    const executable = new CpuExecutable(backend, channel, ledger, graph, limits);
    try {
      await executable.#variant(graph.outputs.map((output) => output.name)).ready;
    } catch (error) {
      await executable[Symbol.asyncDispose]();
      throw error;
    }
    return executable;
  }

  async run(inputs: Readonly<Record<string, DeviceTensor>>, options: RunOptions = {}): Promise<Record<string, DeviceTensor>> {
    const what = `graph "${this.graph.name}" on backend "${this.#backend}"`;
    throwIfAborted(options.signal, what);
    this.#channel.throwIfLost();
    if (this.#disposed) throw this.#runFailed('the executable was disposed');
    checkRunInputs(this.#backend, this.graph, inputs);
    const tensors = this.graph.inputs.map(({ name }) => ownTensor(inputs[name]!, this.#ledger, this.graph.name, name));
    const { outputs: wanted } = planRun(this.graph, options.outputs);
    if (wanted.length === 0) return {};
    const variant = this.#variant(wanted);
    // A session that is still being put together must be complete before its first run; else the run follows its model at once.
    const names = variant.names instanceof Promise ? await variant.names : variant.names;
    const inSession = new Set(names.graph.inputs.map((input) => input.name));
    const bindings: InputBinding[] = [];
    const bind = (name: string, id: number): void => {
      if (inSession.has(name)) bindings.push({ name, id });
    };
    for (const [index, input] of this.graph.inputs.entries()) bind(names.inputs.get(input.name) ?? input.name, tensors[index]!.id);
    for (const [name, id] of this.#constants) bind(names.inputs.get(name) ?? name, await id);
    const outputs = wanted.map((name): OutputBinding => ({ name: names.outputs.get(name)!, id: this.#ledger.nextId(), dtype: this.#outputTypes.get(name)! }));
    const ticket = this.#channel.ticket();
    const answer = await withCancellation(this.#channel, ticket, options.signal, what, () =>
      this.#channel.call({ kind: 'run', session: variant.session, ticket, inputs: bindings, outputs }, (failure) => this.#explainRun(failure, what, options.signal)),
    );
    const results: Record<string, CpuTensor> = {};
    for (const [index, key] of (answer as readonly TensorKey[]).entries()) {
      results[wanted[index]!] = new CpuTensor(this.#ledger, key.id, key.dtype, key.shape);
    }
    if (options.signal?.aborted) {
      // The signal fired between the end of the run and its news.
      for (const tensor of Object.values(results)) tensor[Symbol.dispose]();
      throwIfAborted(options.signal, what);
    }
    return results;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const variant of this.#variants.values()) {
      await variant.ready.catch(() => undefined);
      this.#channel.notifyIfAlive({ kind: 'release', session: variant.session });
    }
    for (const id of this.#constants.values()) this.#channel.notifyIfAlive({ kind: 'dispose', id: await id });
    this.#variants.clear();
    this.#constants.clear();
  }

  #variant(outputs: readonly string[]): Variant {
    const key = JSON.stringify([...outputs].sort());
    const known = this.#variants.get(key);
    if (known !== undefined) return known;
    const session = this.#ledger.nextId();
    const all = outputs.length === this.graph.outputs.length;
    const pruned = all ? this.graph : removeUnused({ ...this.graph, outputs: this.graph.outputs.filter((output) => outputs.includes(output.name)) });
    const { graph, lifted } = liftInitializers(pruned, this.#limits);
    for (const [name, initializer] of lifted) if (!this.#constants.has(name)) this.#constants.set(name, this.#place(initializer));
    const send = (complete: Graph): { readonly names: SessionGraph; readonly answer: Promise<unknown> } => {
      const names = adaptBoundary(rewriteForSession(complete));
      const model = wholeArray(encodeOnnx(names.graph));
      return { names, answer: this.#channel.call({ kind: 'compile', session, model }, (failure) => this.#explainCompile(failure), [model.buffer]) };
    };
    let variant: Variant;
    if ([...graph.initializers.values()].every(isHostInitializer)) {
      const { names, answer } = send(graph);
      variant = { session, names, ready: answer };
    } else {
      const sending = loadInitializers(graph).then(send);
      variant = { session, names: sending.then((sent) => sent.names), ready: sending.then((sent) => sent.answer) };
    }
    // Whoever waits for the variant hears of a failure; until then it is no unhandled rejection.
    variant.ready.catch(() => undefined);
    Promise.resolve(variant.names).catch(() => undefined);
    this.#variants.set(key, variant);
    return variant;
  }

  /** Puts a large constant into the worker and resolves with its number. */
  async #place(initializer: Initializer): Promise<number> {
    const tensor = await readInitializer(initializer);
    const bytes = new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
    // A constant that was in memory before stays the graph's.
    const { buffer } = tensor === initializer ? new Uint8Array(bytes) : wholeArray(bytes);
    const id = this.#ledger.nextId();
    this.#channel.notify({ kind: 'write', id, dtype: tensor.dtype, shape: tensor.shape, buffer }, [buffer]);
    return id;
  }

  #runFailed(reason: string): Error {
    return pareError('PARE_BACKEND_RUN_FAILED', { backend: this.#backend, graph: this.graph.name, reason });
  }

  #explainRun(failure: Failure, what: string, signal: AbortSignal | undefined): Error {
    if (failure.reason === 'aborted') return pareError('PARE_ABORTED', { what }, signal?.reason);
    if (failure.reason === 'memory') return this.#outOfMemory(`a run of graph "${this.graph.name}"`, failure);
    return this.#runFailed(failure.message);
  }

  #explainCompile(failure: Failure): Error {
    const backend = this.#backend;
    const graph = this.graph.name;
    if (failure.reason === 'memory') return this.#outOfMemory(`the compilation of graph "${graph}"`, failure);
    if (failure.reason === 'unimplemented') {
      // "Could not find an implementation for Name(version) node with name 'node'"
      const operator = /implementation for (\w+)/.exec(failure.message)?.[1] ?? failure.message;
      return pareError('PARE_OPERATOR_UNSUPPORTED', { backend, graph, operators: [operator] }, new Error(failure.message));
    }
    const node = /node with name '([^']*)'|Node:? ?\(([^)]*)\)/i.exec(failure.message);
    return pareError('PARE_GRAPH_INVALID', { graph, node: node?.[1] ?? node?.[2] ?? 'unknown', problem: `onnxruntime refuses it: ${failure.message}` });
  }

  #outOfMemory(operation: string, failure: Failure): Error {
    return pareError('PARE_BACKEND_OUT_OF_MEMORY', { backend: this.#backend, operation, reason: failure.message });
  }
}

/** The graph with every constant in memory. */
async function loadInitializers(graph: Graph): Promise<Graph> {
  const initializers = new Map<string, Initializer>();
  for (const [name, initializer] of graph.initializers) initializers.set(name, await readInitializer(initializer));
  return { ...graph, initializers };
}

/** The same bytes in a buffer of exactly their size, which can be given away. */
function wholeArray(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength;
  return whole ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}

