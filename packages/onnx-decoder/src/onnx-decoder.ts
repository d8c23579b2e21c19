import { fromFloat16Bits } from '@pare/core';
import type { CachedDecoder, DecoderBatch, DecoderState, DecoderStep } from '@pare/evaluation';
import type * as OnnxRuntime from 'onnxruntime-node';
import type { InferenceSession, Tensor } from 'onnxruntime-node';

/** onnxruntime for Node. Whoever opens a decoder loads it: it is large. */
export type OnnxRuntimeModule = typeof OnnxRuntime;

export interface OnnxDecoderOptions {
  readonly file: string;
  readonly vocabularySize: number;
  readonly maxPositions: number;
  /** Execution provider, `cpu` by default. */
  readonly provider?: string | undefined;
  /** Threads inside an operator; 0, the default, leaves the number to onnxruntime. */
  readonly threads?: number | undefined;
  /** More of onnxruntime's session options. */
  readonly session?: InferenceSession.SessionOptions | undefined;
}

/** An input that holds the cache, empty at the start. */
interface CacheInput {
  readonly name: string;
  readonly type: 'float32' | 'float16';
  readonly kvHeads: number;
  readonly headSize: number;
}

/** A decoder as transformers.js lays it out: `input_ids`, `attention_mask`, `position_ids` and `past_key_values.…` in, `logits` and `present.…` out. */
export class OnnxDecoder implements CachedDecoder, AsyncDisposable {
  readonly name: string;
  readonly vocabularySize: number;
  readonly maxPositions: number;
  readonly #runtime: OnnxRuntimeModule;
  readonly #session: InferenceSession;
  readonly #caches: readonly CacheInput[];
  readonly #names: ReadonlySet<string>;

  private constructor(runtime: OnnxRuntimeModule, session: InferenceSession, { file, vocabularySize, maxPositions }: OnnxDecoderOptions) {
    this.name = file;
    this.vocabularySize = vocabularySize;
    this.maxPositions = maxPositions;
    this.#runtime = runtime;
    this.#session = session;
    this.#names = new Set(session.inputNames);
    this.#caches = cacheInputs(session);
  }

  /** @throws Error saying why the file cannot be run, or is no such decoder */
  static async open(runtime: OnnxRuntimeModule, options: OnnxDecoderOptions): Promise<OnnxDecoder> {
    const { file, provider = 'cpu', threads = 0, session: more } = options;
    const session = await runtime.InferenceSession.create(file, { executionProviders: [provider], logSeverityLevel: 3, ...(threads > 0 && { intraOpNumThreads: threads }), ...more });
    try {
      return new OnnxDecoder(runtime, session, options);
    } catch (error) {
      await session.release();
      throw error;
    }
  }

  async run({ ids, padding }: DecoderBatch, past: DecoderState | undefined): Promise<DecoderStep> {
    const { Tensor } = this.#runtime;
    if (past !== undefined && !(past instanceof OnnxState)) throw new TypeError('the state is of another decoder');
    const batch = ids.length;
    const positions = ids[0]!.length;
    const before = past?.length ?? 0;
    const length = before + positions;
    const int64 = (columns: number, value: (row: number, column: number) => number): Tensor =>
      new Tensor('int64', BigInt64Array.from({ length: batch * columns }, (_, index) => BigInt(value(Math.floor(index / columns), index % columns))), [batch, columns]);
    const padded = (row: number): number => padding?.[row] ?? 0;
    const inputs: Readonly<Record<string, () => Tensor>> = {
      input_ids: () => int64(positions, (row, column) => ids[row]![column]!),
      attention_mask: () => int64(length, (row, column) => (column < padded(row) ? 0 : 1)),
      position_ids: () => int64(positions, (row, column) => Math.max(0, before + column - padded(row))),
    };
    const feeds: Record<string, Tensor> = { ...(past?.cache ?? this.#emptyCache(batch)) };
    for (const [name, make] of Object.entries(inputs)) if (this.#names.has(name)) feeds[name] = make();
    const { logits, ...outputs } = await this.#session.run(feeds);
    const present = Object.entries(outputs).filter(([name]) => name.startsWith('present'));
    const state = new OnnxState(length, Object.fromEntries(present.map(([name, tensor]) => [name.replace('present', 'past_key_values'), tensor])), logits!);
    return { logits: float32Of(logits!), state };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.release();
  }

  #emptyCache(batch: number): Record<string, Tensor> {
    const { Tensor } = this.#runtime;
    return Object.fromEntries(
      this.#caches.map(({ name, type, kvHeads, headSize }) => {
        const dims = [batch, kvHeads, 0, headSize];
        return [name, type === 'float16' ? new Tensor(type, new Uint16Array(0), dims) : new Tensor(type, new Float32Array(0), dims)];
      }),
    );
  }
}

/** Disposed at once when it is not needed any more: the garbage collector sees only the small objects in front of the memory. */
class OnnxState implements DecoderState {
  readonly length: number;
  readonly cache: Readonly<Record<string, Tensor>>;
  readonly #logits: Tensor;

  constructor(length: number, cache: Readonly<Record<string, Tensor>>, logits: Tensor) {
    this.length = length;
    this.cache = cache;
    this.#logits = logits;
  }

  [Symbol.dispose](): void {
    for (const tensor of [...Object.values(this.cache), this.#logits]) tensor.dispose();
  }
}

function float32Of({ type, data }: Tensor): Float32Array {
  if (type === 'float32') return data as Float32Array;
  if (type !== 'float16') throw new Error(`its logits are ${type} and not float32 or float16`);
  // Some versions of Node have a typed array for half precision; others give the bits.
  const values = data as unknown as { readonly buffer: ArrayBufferLike; readonly byteOffset: number; readonly length: number };
  return Float32Array.from(new Uint16Array(values.buffer, values.byteOffset, values.length), fromFloat16Bits);
}

function cacheInputs({ inputMetadata, outputNames }: InferenceSession): CacheInput[] {
  const caches: CacheInput[] = [];
  for (const input of inputMetadata) {
    if (['input_ids', 'attention_mask', 'position_ids'].includes(input.name)) continue;
    if (!input.isTensor || !input.name.startsWith('past_key_values.')) throw new Error(`its input "${input.name}" is none of a decoder with key-value cache`);
    const { name, type, shape } = input;
    const [, kvHeads, , headSize] = shape;
    if ((type !== 'float32' && type !== 'float16') || typeof kvHeads !== 'number' || typeof headSize !== 'number') {
      throw new Error(`its cache "${name}" is ${type} [${shape.join(', ')}] and not float32 or float16 [batch, heads, past, size] with known heads and size`);
    }
    caches.push({ name, type, kvHeads, headSize });
  }
  if (caches.length === 0) throw new Error('it has no key-value cache: there is no input past_key_values.…');
  if (!outputNames.includes('logits')) throw new Error('it has no output "logits"');
  return caches;
}
