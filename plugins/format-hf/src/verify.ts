import type { FormatContext, InputScheme, ModuleInfo, QuantizedWeight, VerificationResult, WrittenFile } from '@pare/core';
import { fieldsOf, nibbleRowsOf, numbersOf, verifyFolder, type FolderReading, type ReadMatrix } from '@pare/hf-folder';
import type { HuggingFaceOptions } from './options.js';

/**
 * Reads the folder back by its configuration, with code of its own. @throws PARE_VERIFICATION_FAILED
 */
export function verify(context: FormatContext<HuggingFaceOptions>, files: readonly WrittenFile[]): Promise<VerificationResult> {
  return verifyFolder(context, files, {
    dense: context.options.dequantize,
    holds: (reading, { name }) => reading.has(`${name}.weight_packed`) || reading.has(`${name}.weight_scale`),
    read: (reading, info, form) => (reading.has(`${info.name}.weight_packed`) ? readPacked(reading, info, form) : readPlain(reading, info, form)),
  });
}

/** The scheme that the configuration states for a stored matrix, which has to be the model's. */
function agreedScheme(reading: FolderReading, info: ModuleInfo, form: QuantizedWeight, tensor: string): StatedScheme {
  const scheme = statedScheme(reading.config, info.name);
  if (scheme === undefined) return reading.fail(tensor, 'is not covered by quantization_config');
  const describe = (bits: number, type: string, symmetric: boolean, strategy: string): string => `${String(bits)} bits${type === 'float' ? ' of floats' : ''}, ${symmetric ? 'symmetric' : 'asymmetric'}, ${strategy}`;
  const stated = describe(scheme.bits, scheme.type, scheme.symmetric, scheme.strategy);
  const expected = describe(form.scheme.bits, form.scheme.numbers === 'float8-e4m3' ? 'float' : 'int', form.scheme.symmetric, form.scheme.granularity);
  if (stated !== expected) reading.fail(tensor, `is declared as ${stated}, the model's is ${expected}`);
  const inputs = inputText(form.input);
  if (scheme.inputs !== inputs) reading.fail(tensor, `is declared with inputs ${scheme.inputs}, the model's are ${inputs}`);
  return scheme;
}

/** Codes that are stored one by one: signed integers, or the bytes of 8-bit floats. */
async function readPlain(reading: FolderReading, info: ModuleInfo, form: QuantizedWeight): Promise<ReadMatrix> {
  const [rows, columns] = info.shape;
  const name = `${info.name}.weight`;
  const weight = reading.take(name);
  const { type, symmetric, strategy, groupSize } = agreedScheme(reading, info, form, name);
  const wanted = type === 'float' ? 'F8_E4M3' : 'I8';
  if (weight.dtype !== wanted || weight.shape.join() !== info.shape.join()) reading.fail(name, `is ${weight.dtype} [${weight.shape.join(', ')}], a reader wants ${wanted} [${info.shape.join(', ')}]`);
  const storedAt = numbersOf(await weight.read(), weight.dtype);
  const offset = type === 'float' ? 0 : 128;
  const groups = strategy === 'group' ? Math.ceil(columns / groupSize) : 1;
  const gridAt = async (part: string) => {
    const tensor = `${info.name}.${part}`;
    const raw = reading.take(tensor);
    const shape = strategy === 'tensor' ? [1] : [rows, groups];
    if (raw.shape.join() !== shape.join()) reading.fail(tensor, `has shape [${raw.shape.join(', ')}], a reader wants [${shape.join(', ')}]`);
    const at = numbersOf(await raw.read(), raw.dtype);
    return { tensor, dtype: raw.dtype, at: (row: number, group: number) => at(strategy === 'tensor' ? 0 : row * groups + group) };
  };
  await checkNumber(reading, `${info.name}.input_scale`, form.input?.scale);
  await checkNumber(reading, `${info.name}.input_zero_point`, form.input?.zero);
  const zeros = symmetric ? undefined : await gridAt('weight_zero_point');
  return {
    codes: { tensor: name, at: (row, column) => storedAt(row * columns + column) + offset },
    scales: { ...(await gridAt('weight_scale')), groups },
    zeros: zeros === undefined ? undefined : { tensor: zeros.tensor, at: (row, group) => zeros.at(row, group) + 128 },
  };
}

/** A tensor of one number, which is there where it is expected. */
async function checkNumber(reading: FolderReading, tensor: string, expected: number | undefined): Promise<void> {
  if (expected === undefined) return;
  const raw = reading.take(tensor);
  const found = numbersOf(await raw.read(), raw.dtype)(0);
  if (found !== expected) reading.fail(tensor, `holds ${String(found)} for ${String(expected)}`);
}

/** How inputs are rounded, in words. */
function inputText(input: InputScheme | undefined): string {
  if (input === undefined) return 'as they are';
  return `of ${String(input.bits)} bits, ${input.symmetric ? 'symmetric' : 'asymmetric'}, ${input.granularity}, ${input.dynamic ? 'dynamic' : 'static'}`;
}

/** Codes that lie in words as one stream a row. */
async function readPacked(reading: FolderReading, info: ModuleInfo, form: QuantizedWeight): Promise<ReadMatrix> {
  const name = `${info.name}.weight_packed`;
  const packed = reading.take(name);
  const scheme = agreedScheme(reading, info, form, name);
  const { bits, symmetric, strategy } = scheme;

  const shapeName = `${info.name}.weight_shape`;
  const shape = reading.take(shapeName);
  const shapeAt = numbersOf(await shape.read(), shape.dtype);
  const [rows, columns] = [shapeAt(0), shapeAt(1)];
  if (rows !== form.shape[0] || columns !== form.shape[1]) reading.fail(shapeName, `is not [${form.shape.join(', ')}]`);

  const words = await packed.read();
  let codeAt: ReturnType<typeof fieldsOf> | undefined;
  const rowBits = packed.shape[1]! * 32;
  const scaleName = `${info.name}.weight_scale`;
  const scale = reading.take(scaleName);
  const scaleAt = numbersOf(await scale.read(), scale.dtype);
  const groups = strategy === 'group' ? Math.ceil(columns / scheme.groupSize) : 1;
  return {
    codes: { tensor: name, at: (row, column) => (codeAt ??= fieldsOf(words, bits))(row * rowBits + column * bits), ...(bits === 4 ? { row: nibbleRowsOf(words, rowBits / 8) } : {}) },
    scales: { tensor: scaleName, dtype: scale.dtype, groups, at: (row, group) => scaleAt(strategy === 'tensor' ? 0 : row * groups + group) },
    zeros: symmetric ? undefined : await readZeros(reading, info, scheme, groups),
    index: scheme.actOrder ? await readIndex(reading, info) : undefined,
  };
}

async function readZeros(reading: FolderReading, info: ModuleInfo, { bits, strategy }: StatedScheme, groups: number): Promise<ReadMatrix['zeros']> {
  const tensor = `${info.name}.weight_zero_point`;
  const view = await reading.take(tensor).read();
  if (strategy === 'tensor') return { tensor, at: () => view.getInt8(0) + 2 ** (bits - 1) };
  return { tensor, at: (row, group) => zeroAt(view, row, group, groups, bits) };
}

async function readIndex(reading: FolderReading, info: ModuleInfo): Promise<ReadMatrix['index']> {
  const tensor = `${info.name}.weight_g_idx`;
  const index = reading.take(tensor);
  return { tensor, at: numbersOf(await index.read(), index.dtype) };
}

/** A config group as its reader understands it. */
interface StatedScheme {
  readonly type: string;
  readonly bits: number;
  readonly symmetric: boolean;
  readonly strategy: string;
  readonly groupSize: number;
  readonly actOrder: boolean;
  /** What is said of the layer's inputs. */
  readonly inputs: string;
}

/** The scheme that a configuration states for a module. */
function statedScheme(config: Readonly<Record<string, unknown>>, module: string): StatedScheme | undefined {
  interface Group {
    targets: string[];
    input_activations: { num_bits: 8; symmetric: boolean; strategy: 'token' | 'tensor'; dynamic: boolean } | null;
    weights: { type: string; num_bits: number; symmetric: boolean; strategy: string; group_size: number | null; actorder: string | null };
  }
  const quantization = config['quantization_config'] as { ignore: string[]; config_groups: Record<string, Group> } | undefined;
  const groups = Object.values(quantization?.config_groups ?? {});
  if (quantization?.ignore.includes(module) === true) return undefined;
  const group = groups.find(({ targets }) => targets.includes(module)) ?? groups.find(({ targets }) => targets.includes('Linear'));
  if (group === undefined) return undefined;
  const { type, num_bits: bits, symmetric, strategy, group_size: groupSize, actorder } = group.weights;
  const { input_activations: found } = group;
  const inputs = inputText(found === null ? undefined : { ...found, bits: found.num_bits, granularity: found.strategy });
  return { type, bits, symmetric, strategy, groupSize: groupSize ?? 0, actOrder: actorder === 'group', inputs };
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
