import { pareError, prefetch, throwIfAborted, type FileSystem, type FormatContext, type Model, type ModuleInfo, type QuantizedWeight, type VerificationResult, type WrittenFile } from '@pare/core';
import { quantizedPart } from '@pare/weights';
import { compareMatrix, equalBytes, roundingErrors, type ReadMatrix } from './compare-matrix.js';
import { numbersOf, readJson, readRawTensors, sameBytes, type RawTensor } from './raw-safetensors.js';

/** What a format's reader sees of a folder. */
export interface FolderReading {
  readonly config: Readonly<Record<string, unknown>>;
  has(tensor: string): boolean;
  /** A tensor, noted as belonging to the model. @throws PARE_VERIFICATION_FAILED when it is missing */
  take(tensor: string): RawTensor;
  /** @throws PARE_VERIFICATION_FAILED */
  fail(tensor: string, problem: string): never;
}

/** How a format reads compressed matrices, by the file alone and with code that the writer does not use. */
export interface FolderVerification {
  /** True when quantized weights were to be written dense. */
  readonly dense?: boolean | undefined;
  /** True for a module that the file holds compressed. */
  holds(reading: FolderReading, info: ModuleInfo): boolean;
  /** One compressed matrix. The form is there for messages that say what was expected. */
  read(reading: FolderReading, info: ModuleInfo, form: QuantizedWeight): Promise<ReadMatrix>;
}

/**
 * Reads a folder as a stranger would, from `config.json` on, and compares it with the model: the set of tensors, every dense tensor
 * byte by byte, every quantized matrix code by code, scale by scale and zero by zero, companion files byte by byte.
 *
 * @throws PARE_VERIFICATION_FAILED
 */
export async function verifyFolder(context: FormatContext<unknown>, files: readonly WrittenFile[], verification: FolderVerification): Promise<VerificationResult> {
  const names = files.map(({ path }) => path);
  const tensors = await readRawTensors(context.files, context.directory, names);
  const config = await readJson(context.files, context.directory, 'config.json');
  return new FolderVerifier(context, names, verification, tensors, config).run();
}

class FolderVerifier implements FolderReading {
  readonly config: Readonly<Record<string, unknown>>;
  readonly #model: Model;
  readonly #directory: string;
  readonly #fileSystem: FileSystem;
  readonly #signal: AbortSignal;
  readonly #names: readonly string[];
  readonly #verification: FolderVerification;
  readonly #tensors: ReadonlyMap<string, RawTensor>;
  readonly #seen = new Set<string>();
  #largestDifference = 0;

  constructor(context: FormatContext<unknown>, names: readonly string[], verification: FolderVerification, tensors: ReadonlyMap<string, RawTensor>, config: Readonly<Record<string, unknown>>) {
    this.config = config;
    this.#model = context.model;
    this.#directory = context.directory;
    this.#fileSystem = context.files;
    this.#signal = context.signal;
    this.#names = names;
    this.#verification = verification;
    this.#tensors = tensors;
  }

  async run(): Promise<VerificationResult> {
    const modules = new Map(this.#model.modules.map((info) => [`${info.name}.weight`, info]));
    // The next tensor is read while one is compared.
    const comparisons = prefetch(this.#model.tensors, ({ name }) => {
      const info = modules.get(name);
      return info !== undefined && this.#verification.holds(this, info) ? this.#readCompressed(info) : this.#readDense(name, info);
    });
    for (let count = this.#model.tensors.length; count > 0; count--) {
      throwIfAborted(this.#signal, 'reading back the Hugging Face folder');
      await (await comparisons.next())();
    }
    const extra = [...this.#tensors.keys()].find((name) => !this.#seen.has(name));
    if (extra !== undefined) this.fail(extra, 'belongs to nothing in the model');
    if (this.#names.includes('model.safetensors.index.json')) await this.#checkIndex();
    await this.#checkCompanions();
    return { tensors: this.#tensors.size, largestDifference: this.#largestDifference };
  }

  has(tensor: string): boolean {
    return this.#tensors.has(tensor);
  }

  take(name: string): RawTensor {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) return this.fail(name, 'is missing');
    this.#seen.add(name);
    return tensor;
  }

  fail(tensor: string, problem: string): never {
    throw pareError('PARE_VERIFICATION_FAILED', { file: this.#tensors.get(tensor)?.file ?? this.#directory, tensor, problem });
  }

  /** Reads a compressed matrix and what the model holds; the function that is returned compares them. */
  async #readCompressed(info: ModuleInfo): Promise<() => void> {
    const held = await this.#model.weight(info.name);
    const form = quantizedPart(held);
    if (form === undefined) return this.fail(`${info.name}.weight`, `is stored as codes, which stand for a ${held.form} weight`);
    const read = await this.#verification.read(this, info, form);
    return () => {
      const difference = compareMatrix(read, form, (tensor, problem) => this.fail(tensor, problem));
      // A scale is off by this much at most, a weight by as many scales as its code is away from zero.
      this.#largestDifference = Math.max(this.#largestDifference, difference * 2 ** form.scheme.bits);
    };
  }

  /** The same for a dense tensor. */
  async #readDense(name: string, info: ModuleInfo | undefined): Promise<() => Promise<void>> {
    const raw = this.take(name);
    const coded = info !== undefined && (info.form === 'quantized' || info.form === 'sparse') && quantizedPart(await this.#model.weight(info.name)) !== undefined;
    if (coded && this.#verification.dense !== true) this.fail(name, 'is dense, the model holds it quantized');
    const view = await raw.read();
    const expected = await this.#model.tensor(name);
    if (raw.shape.join() !== expected.shape.join()) this.fail(name, `has shape [${raw.shape.join(', ')}], the model's is [${expected.shape.join(', ')}]`);
    return async () => {
      const bytes = new Uint8Array(expected.data.buffer, expected.data.byteOffset, expected.data.byteLength);
      const index = firstDifference(bytes, view);
      if (index !== -1) this.fail(name, `differs at byte ${String(index)}`);
      if (info?.form === 'sparse') await this.#checkZeros(info, numbersOf(view, raw.dtype));
      if (coded) await this.#checkRounding(info, raw, view);
    };
  }

  /** Weights that were multiplied out: each is the held value to within the rounding of its type. */
  async #checkRounding(info: ModuleInfo, raw: RawTensor, view: DataView): Promise<void> {
    const [rows, columns] = info.shape;
    const { data } = await this.#model.denseWeight(info.name);
    const { relative, absolute } = roundingErrors[raw.dtype]!;
    const storedAt = numbersOf(view, raw.dtype);
    let largest = this.#largestDifference;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const held = data[row * columns + column]!;
        const stored = storedAt(info.layout === 'out-in' ? row * columns + column : column * rows + row);
        const difference = Math.abs(stored - held);
        if (!(difference <= Math.max(Math.abs(held) * relative, absolute))) {
          this.fail(`${info.name}.weight`, `holds ${String(stored)} for ${String(held)} at [${String(row)}, ${String(column)}]`);
        }
        largest = Math.max(largest, difference);
      }
    }
    this.#largestDifference = largest;
  }

  /** Whatever was pruned is zero in the file. */
  async #checkZeros(info: ModuleInfo, storedAt: (index: number) => number): Promise<void> {
    const form = await this.#model.weight(info.name);
    if (form.form !== 'sparse') return;
    const [rows, columns] = info.shape;
    for (let row = 0, index = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, index++) {
        if (form.mask[index] === 1) continue;
        const stored = storedAt(info.layout === 'out-in' ? index : column * rows + row);
        if (stored !== 0) this.fail(`${info.name}.weight`, `holds ${String(stored)} at [${String(row)}, ${String(column)}], which was pruned`);
      }
    }
  }

  async #checkIndex(): Promise<void> {
    const { weight_map: map } = await readJson(this.#fileSystem, this.#directory, 'model.safetensors.index.json');
    const places = Object.entries(map as Record<string, string>);
    for (const [name, file] of places) if (this.#tensors.get(name)?.file !== file) this.fail(name, `is not in ${file}, where the index has it`);
    const missing = [...this.#tensors.keys()].find((name) => !Object.hasOwn(map as object, name));
    if (missing !== undefined) this.fail(missing, 'is missing in the index');
    if (places.length !== this.#tensors.size) this.fail('model.safetensors.index.json', 'lists other tensors than the files hold');
  }

  async #checkCompanions(): Promise<void> {
    for (const name of this.#model.companionFiles) {
      const copied = this.#names.includes(name) && (await sameBytes(this.#fileSystem, `${this.#directory}/${name}`, this.#model.files, `${this.#model.directory}/${name}`));
      if (!copied) this.fail(name, 'is not a copy of the source');
    }
  }
}

function firstDifference(expected: Uint8Array, view: DataView): number {
  const found = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  if (found.length !== expected.length) return Math.min(found.length, expected.length);
  if (equalBytes(found, expected)) return -1;
  for (let index = 0; index < expected.length; index++) if (found[index] !== expected[index]) return index;
  return -1;
}
