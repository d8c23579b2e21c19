import {
  pareError,
  throwIfAborted,
  type FileSystem,
  type FormatContext,
  type Model,
  type ModuleInfo,
  type QuantizedWeight,
  type VerificationResult,
  type WrittenFile,
} from '@pare/core';
import { quantizedPart } from '@pare/weights';
import type { HuggingFaceOptions } from '../options.js';
import { fieldsOf, numbersOf, readJson, readRawTensors, sameBytes, type RawTensor } from './raw-safetensors.js';

/**
 * Reads the folder as a stranger would, from `config.json` on, and compares it with the model: the set of tensors, every dense tensor
 * byte by byte, every quantized matrix code by code, scale by scale and zero by zero, companion files byte by byte.
 *
 * @throws PARE_VERIFICATION_FAILED
 */
export async function verifyFolder(context: FormatContext<HuggingFaceOptions>, files: readonly WrittenFile[]): Promise<VerificationResult> {
  return new FolderVerifier(context, files).run();
}

/** Half a unit in the last place of the types that dense weights are stored in: relative for normal, absolute for subnormal numbers. */
const roundingErrors: Readonly<Record<string, { readonly relative: number; readonly absolute: number }>> = {
  F64: { relative: 0, absolute: 0 },
  F32: { relative: 0, absolute: 0 },
  F16: { relative: 2 ** -11, absolute: 2 ** -25 },
  BF16: { relative: 2 ** -8, absolute: 2 ** -134 },
};

class FolderVerifier {
  readonly #model: Model;
  readonly #options: HuggingFaceOptions;
  readonly #directory: string;
  readonly #fileSystem: FileSystem;
  readonly #signal: AbortSignal;
  readonly #files: readonly WrittenFile[];
  #tensors: ReadonlyMap<string, RawTensor> = new Map();
  readonly #seen = new Set<string>();
  #largestDifference = 0;

  constructor(context: FormatContext<HuggingFaceOptions>, files: readonly WrittenFile[]) {
    this.#model = context.model;
    this.#options = context.options;
    this.#directory = context.directory;
    this.#fileSystem = context.files;
    this.#signal = context.signal;
    this.#files = files;
  }

  async run(): Promise<VerificationResult> {
    const names = this.#files.map(({ path }) => path);
    this.#tensors = await readRawTensors(this.#fileSystem, this.#directory, names);
    const schemes = readSchemes(await readJson(this.#fileSystem, this.#directory, 'config.json'));
    const modules = new Map(this.#model.modules.map((info) => [`${info.name}.weight`, info]));
    for (const { name } of this.#model.tensors) {
      throwIfAborted(this.#signal, 'reading back the Hugging Face folder');
      const info = modules.get(name);
      if (info !== undefined && this.#tensors.has(`${info.name}.weight_packed`)) await this.#checkPacked(info, schemes(info));
      else await this.#checkDense(name, info);
    }
    const extra = [...this.#tensors.keys()].find((name) => !this.#seen.has(name));
    if (extra !== undefined) this.#fail(extra, 'belongs to nothing in the model');
    if (names.includes('model.safetensors.index.json')) await this.#checkIndex();
    await this.#checkCompanions(names);
    return { tensors: this.#tensors.size, largestDifference: this.#largestDifference };
  }

  async #checkDense(name: string, info: ModuleInfo | undefined): Promise<void> {
    const raw = this.#take(name);
    const coded = info !== undefined && (info.form === 'quantized' || info.form === 'sparse') && quantizedPart(await this.#model.weight(info.name)) !== undefined;
    if (coded && !this.#options.dequantize) this.#fail(name, 'is dense, the model holds it quantized');
    const view = await raw.read();
    const expected = await this.#model.tensor(name);
    if (raw.shape.join() !== expected.shape.join()) this.#fail(name, `has shape [${raw.shape.join(', ')}], the model's is [${expected.shape.join(', ')}]`);
    const bytes = new Uint8Array(expected.data.buffer, expected.data.byteOffset, expected.data.byteLength);
    const index = firstDifference(bytes, view);
    if (index !== -1) this.#fail(name, `differs at byte ${String(index)}`);
    if (info?.form === 'sparse') await this.#checkZeros(info, numbersOf(view, raw.dtype));
    if (coded && this.#options.dequantize) await this.#checkRounding(info, raw, view);
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
          this.#fail(`${info.name}.weight`, `holds ${String(stored)} for ${String(held)} at [${String(row)}, ${String(column)}]`);
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
        if (stored !== 0) this.#fail(`${info.name}.weight`, `holds ${String(stored)} at [${String(row)}, ${String(column)}], which was pruned`);
      }
    }
  }

  async #checkPacked(info: ModuleInfo, scheme: StatedScheme | undefined): Promise<void> {
    const packed = this.#take(`${info.name}.weight_packed`);
    const name = `${info.name}.weight_packed`;
    if (scheme === undefined) return this.#fail(name, 'is not covered by quantization_config');
    const held = await this.#model.weight(info.name);
    const form = quantizedPart(held);
    if (form === undefined) return this.#fail(name, `stands for a ${held.form} weight`);
    const [rows, columns] = form.shape;
    const stated = `${String(scheme.bits)} bits, ${scheme.symmetric ? 'symmetric' : 'asymmetric'}, ${scheme.strategy}`;
    const expected = `${String(form.scheme.bits)} bits, ${form.scheme.symmetric ? 'symmetric' : 'asymmetric'}, ${form.scheme.granularity}`;
    if (stated !== expected) this.#fail(name, `is declared as ${stated}, the model's is ${expected}`);

    const shape = this.#take(`${info.name}.weight_shape`);
    const shapeAt = numbersOf(await shape.read(), shape.dtype);
    if (shapeAt(0) !== rows || shapeAt(1) !== columns) this.#fail(`${info.name}.weight_shape`, `is not [${form.shape.join(', ')}]`);

    const codeAt = fieldsOf(await packed.read(), scheme.bits);
    const rowBits = packed.shape[1]! * 32;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const code = codeAt(row * rowBits + column * scheme.bits);
        if (code !== form.codes[row * columns + column])
          this.#fail(name, `holds code ${String(code)} for ${String(form.codes[row * columns + column])} at [${String(row)}, ${String(column)}]`);
      }
    }
    await this.#checkGrids(info.name, form, scheme);
  }

  /** Scales, zero points, and which of them each column belongs to. */
  async #checkGrids(module: string, form: QuantizedWeight, scheme: StatedScheme): Promise<void> {
    const [rows, columns] = form.shape;
    const scale = this.#take(`${module}.weight_scale`);
    const scaleAt = numbersOf(await scale.read(), scale.dtype);
    const groups = scheme.strategy === 'group' ? Math.ceil(columns / scheme.groupSize) : 1;
    const grids = scheme.strategy === 'tensor' ? 1 : rows * groups;
    if (form.scales.length !== grids)
      this.#fail(`${module}.weight_scale`, `has ${String(grids)} values by its group size, the model has ${String(form.scales.length)}`);
    for (let grid = 0; grid < grids; grid++) {
      const value = scaleAt(grid);
      if (value !== form.scales[grid]) this.#fail(`${module}.weight_scale`, `holds ${String(value)} for ${String(form.scales[grid])} at ${String(grid)}`);
    }
    if (!scheme.symmetric) {
      const zero = this.#take(`${module}.weight_zero_point`);
      const zeroView = await zero.read();
      for (let grid = 0; grid < grids; grid++) {
        const value =
          scheme.strategy === 'tensor'
            ? zeroView.getInt8(0) + 2 ** (scheme.bits - 1)
            : zeroAt(zeroView, Math.floor(grid / groups), grid % groups, groups, scheme.bits);
        if (value !== form.zeros?.[grid])
          this.#fail(`${module}.weight_zero_point`, `holds ${String(value)} for ${String(form.zeros?.[grid])} at ${String(grid)}`);
      }
    }
    if (scheme.actOrder) {
      const index = this.#take(`${module}.weight_g_idx`);
      const groupAt = numbersOf(await index.read(), index.dtype);
      for (let column = 0; column < columns; column++) {
        const group = groupAt(column);
        if (group !== form.groupIndex?.[column]) this.#fail(`${module}.weight_g_idx`, `holds ${String(group)} for column ${String(column)}`);
      }
    } else if (form.groupIndex !== undefined) this.#fail(`${module}.weight_g_idx`, 'is not declared in quantization_config');
  }

  async #checkIndex(): Promise<void> {
    const { weight_map: map } = await readJson(this.#fileSystem, this.#directory, 'model.safetensors.index.json');
    const places = Object.entries(map as Record<string, string>);
    for (const [name, file] of places) if (this.#tensors.get(name)?.file !== file) this.#fail(name, `is not in ${file}, where the index has it`);
    const missing = [...this.#tensors.keys()].find((name) => !Object.hasOwn(map as object, name));
    if (missing !== undefined) this.#fail(missing, 'is missing in the index');
    if (places.length !== this.#tensors.size) this.#fail('model.safetensors.index.json', 'lists other tensors than the files hold');
  }

  async #checkCompanions(names: readonly string[]): Promise<void> {
    for (const name of this.#model.companionFiles) {
      const copied = names.includes(name) && (await sameBytes(this.#fileSystem, `${this.#directory}/${name}`, this.#model.files, `${this.#model.directory}/${name}`));
      if (!copied) this.#fail(name, 'is not a copy of the source');
    }
  }

  #take(name: string): RawTensor {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) return this.#fail(name, 'is missing');
    this.#seen.add(name);
    return tensor;
  }

  #fail(tensor: string, problem: string): never {
    throw pareError('PARE_VERIFICATION_FAILED', { file: this.#tensors.get(tensor)?.file ?? this.#directory, tensor, problem });
  }
}

/** A config group as its reader understands it. */
interface StatedScheme {
  readonly bits: number;
  readonly symmetric: boolean;
  readonly strategy: string;
  readonly groupSize: number;
  readonly actOrder: boolean;
}

/** The scheme that a configuration states for a module. */
function readSchemes(config: Record<string, unknown>): (info: ModuleInfo) => StatedScheme | undefined {
  interface Group {
    targets: string[];
    weights: { num_bits: number; symmetric: boolean; strategy: string; group_size: number | null; actorder: string | null };
  }
  const quantization = config['quantization_config'] as { ignore: string[]; config_groups: Record<string, Group> } | undefined;
  const groups = Object.values(quantization?.config_groups ?? {});
  return ({ name }) => {
    if (quantization?.ignore.includes(name)) return undefined;
    const group = groups.find(({ targets }) => targets.includes(name)) ?? groups.find(({ targets }) => targets.includes('Linear'));
    if (group === undefined) return undefined;
    const { num_bits: bits, symmetric, strategy, group_size: groupSize, actorder } = group.weights;
    return { bits, symmetric, strategy, groupSize: groupSize ?? 0, actOrder: actorder === 'group' };
  };
}

/** The zero point of a row and group: fields run down the rows of words [ceil(rows·bits/32), groups], so a field may span two words of its column. */
function zeroAt(view: DataView, row: number, group: number, groups: number, bits: number): number {
  let value = 0;
  for (let bit = 0; bit < bits; bit++) {
    const position = row * bits + bit;
    const word = view.getUint32(4 * (Math.floor(position / 32) * groups + group), true);
    value += (Math.floor(word / 2 ** (position % 32)) % 2) * 2 ** bit;
  }
  return value;
}

function firstDifference(expected: Uint8Array, view: DataView): number {
  const found = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  if (found.length !== expected.length) return Math.min(found.length, expected.length);
  for (let index = 0; index < expected.length; index++) if (found[index] !== expected[index]) return index;
  return -1;
}
