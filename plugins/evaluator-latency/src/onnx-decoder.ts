import type * as OnnxRuntime from 'onnxruntime-node';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Decoder } from './schedule.js';

export interface DecoderOptions {
  readonly path: string;
  readonly provider: string;
  readonly threads: number;
  readonly batch: number;
  readonly vocabularySize: number;
}

/** An input that holds the cache, empty at the start. */
interface CacheInput {
  readonly name: string;
  readonly type: 'float32' | 'float16';
  readonly kvHeads: number;
  readonly headSize: number;
}

/** A decoder as transformers.js lays it out, in onnxruntime. Prompts are the same arbitrary tokens in every run; what follows is the likeliest token. */
export class OnnxDecoder implements Decoder {
  readonly #runtime: typeof OnnxRuntime;
  readonly #session: InferenceSession;
  readonly #options: DecoderOptions;
  readonly #caches: readonly CacheInput[];
  readonly #names: ReadonlySet<string>;
  #cache: Readonly<Record<string, Tensor>> = {};
  #length = 0;
  #logits: Tensor | undefined;
  #next: readonly number[] = [];

  private constructor(runtime: typeof OnnxRuntime, session: InferenceSession, options: DecoderOptions) {
    this.#runtime = runtime;
    this.#session = session;
    this.#options = options;
    this.#names = new Set(session.inputNames);
    this.#caches = cacheInputs(session);
  }

  static async open(runtime: typeof OnnxRuntime, options: DecoderOptions): Promise<OnnxDecoder> {
    const { path, provider, threads } = options;
    const session = await runtime.InferenceSession.create(path, { executionProviders: [provider], logSeverityLevel: 3, ...(threads > 0 && { intraOpNumThreads: threads }) });
    return new OnnxDecoder(runtime, session, options);
  }

  async prefill(promptLength: number): Promise<void> {
    const { batch, vocabularySize } = this.#options;
    this.#replace(Object.fromEntries(this.#caches.map((cache) => [cache.name, this.#empty(cache)])), undefined);
    this.#length = 0;
    // A linear congruential sequence (Numerical Recipes): arbitrary, and the same every time.
    let state = 1;
    const ids = Array.from({ length: batch * promptLength }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * vocabularySize);
    });
    await this.#run(ids, promptLength);
  }

  choose(): void {
    const { batch } = this.#options;
    const { data, dims } = this.#logits!;
    const [positions, vocabulary] = [dims[1]!, dims[2]!];
    const logits = data as Float32Array;
    this.#next = Array.from({ length: batch }, (_, sequence) => {
      const start = (sequence * positions + positions - 1) * vocabulary;
      let best = start;
      for (let index = start + 1; index < start + vocabulary; index++) if (logits[index]! > logits[best]!) best = index;
      return best - start;
    });
  }

  async step(): Promise<void> {
    await this.#run(this.#next, 1);
  }

  async #run(ids: readonly number[], positions: number): Promise<void> {
    const { Tensor } = this.#runtime;
    const { batch } = this.#options;
    const past = this.#length;
    const total = past + positions;
    const available: Readonly<Record<string, Tensor>> = {
      input_ids: new Tensor('int64', BigInt64Array.from(ids, BigInt), [batch, positions]),
      attention_mask: new Tensor('int64', new BigInt64Array(batch * total).fill(1n), [batch, total]),
      position_ids: new Tensor('int64', BigInt64Array.from({ length: batch * positions }, (_, index) => BigInt(past + (index % positions))), [batch, positions]),
    };
    const feeds = { ...this.#cache, ...Object.fromEntries(Object.entries(available).filter(([name]) => this.#names.has(name))) };
    const outputs = await this.#session.run(feeds);
    const present = Object.entries(outputs).filter(([name]) => name.startsWith('present'));
    this.#replace(Object.fromEntries(present.map(([name, tensor]) => [name.replace('present', 'past_key_values'), tensor])), outputs['logits']);
    this.#length = total;
  }

  /** Lets go of the old cache at once; the garbage collector sees only the small objects in front of it. */
  #replace(cache: Readonly<Record<string, Tensor>>, logits: Tensor | undefined): void {
    for (const tensor of Object.values(this.#cache)) tensor.dispose();
    this.#logits?.dispose();
    this.#cache = cache;
    this.#logits = logits;
  }

  #empty({ type, kvHeads, headSize }: CacheInput): Tensor {
    const { Tensor } = this.#runtime;
    const dims = [this.#options.batch, kvHeads, 0, headSize];
    return type === 'float16' ? new Tensor(type, new Uint16Array(0), dims) : new Tensor(type, new Float32Array(0), dims);
  }
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
