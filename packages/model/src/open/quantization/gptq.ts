import type { QuantizationScheme } from '@pare/core';
import { largestCode, symmetricZero, transposeArray, unpackRows, wordsPerRow } from '@pare/weights';
import { isObject, type ConfigFields } from './config-fields.js';
import type { PartsReader } from './parts-reader.js';
import type { StoredQuantization, StoredWeight } from './stored-weight.js';

const isGroupSize = (found: unknown): boolean => found === -1 || (Number.isInteger(found) && (found as number) > 0);
const isBits = (found: unknown): boolean => [2, 3, 4, 8].includes(found as number);

/** What is added to a stored zero point, by the checkpoint format. */
const zeroOffsets: Readonly<Record<string, number>> = { gptq: 1, gptq_v2: 0 };

/** What is stored in other ways for some modules: by a pattern, with `+:` or nothing before it; `-:` leaves modules dense. */
interface Exception {
  readonly pattern: RegExp;
  readonly bits: number | undefined;
  readonly groupSize: number | undefined;
}

/**
 * Reads the account of a GPTQ folder (AutoGPTQ's `quantize_config.json`, GPTQModel's `QuantizeConfig`): `bits`, `group_size`, `checkpoint_format`, and in `dynamic` what differs from
 * module to module. Which modules are compressed their tensors say. Whether grids are symmetric, and whether columns are grouped as they stand, is read from the zero points and indices themselves.
 * @throws PARE_QUANTIZATION_UNSUPPORTED
 */
export function readGptqConfig(fields: ConfigFields): StoredQuantization {
  const bits = fields.read<number>(['bits'], 4, isBits, '2, 3, 4 or 8');
  const groupSize = fields.read<number>(['group_size'], 128, isGroupSize, '-1 or a positive whole number');
  const format = fields.read<string>(['checkpoint_format', 'format'], 'gptq', (found) => typeof found === 'string' && Object.hasOwn(zeroOffsets, found), '"gptq" or "gptq_v2"');
  fields.read(['pack_dtype'], 'int32', (found) => found === 'int32', '"int32"');
  const dynamic = fields.read<Readonly<Record<string, unknown>>>(['dynamic'], {}, isObject, 'an object of patterns');
  const exceptions = Object.entries(dynamic).flatMap(([key, value]) => readException(fields, key, value));
  return {
    find(parts, { name, shape }, dense) {
      if (!parts.has('qweight')) return undefined;
      const exception = exceptions.find(({ pattern }) => pattern.test(name));
      const stated = { bits: exception?.bits ?? bits, groupSize: exception?.groupSize ?? groupSize, zeroOffset: zeroOffsets[format]! };
      return findGptqWeight(parts, shape, stated, dense);
    },
  };
}

function readException(fields: ConfigFields, key: string, value: unknown): Exception[] {
  if (key.startsWith('-:')) return [];
  const changes = isObject(value) ? value : {};
  if (changes['bits'] !== undefined && !isBits(changes['bits'])) fields.fail(`dynamic["${key}"].bits`, changes['bits'], '2, 3, 4 or 8');
  if (changes['group_size'] !== undefined && !isGroupSize(changes['group_size'])) fields.fail(`dynamic["${key}"].group_size`, changes['group_size'], '-1 or a positive whole number');
  try {
    return [{ pattern: new RegExp(`^(?:${key.replace(/^\+:/, '')})`), bits: changes['bits'] as number | undefined, groupSize: changes['group_size'] as number | undefined }];
  } catch {
    return fields.fail('dynamic', key, 'patterns that are also JavaScript patterns');
  }
}

/**
 * The parts of a matrix [out, in]: `qweight` int32 [in·bits/32, out], fields down the inputs; `qzeros` int32 [G, out·bits/32], fields along the outputs, each the zero point less the
 * offset of its format; `scales` [G, out]; and `g_idx` int32 [in], absent in folders of some tools when columns are grouped as they stand.
 */
function findGptqWeight(parts: PartsReader, shape: readonly [number, number], stated: { readonly bits: number; readonly groupSize: number; readonly zeroOffset: number }, dtype: StoredWeight['dtype']): StoredWeight {
  const [rows, columns] = shape;
  const { bits, zeroOffset } = stated;
  const groupSize = stated.groupSize === -1 || stated.groupSize >= columns ? columns : stated.groupSize;
  const groups = Math.ceil(columns / groupSize);
  const scheme: Omit<QuantizationScheme, 'symmetric'> = { bits, granularity: groups === 1 ? 'channel' : 'group', groupSize };
  const words = wordsPerRow(columns, bits);
  parts.require('qweight', ['int32'], [[words, rows]]);
  parts.require('qzeros', ['int32'], [[groups, wordsPerRow(rows, bits)]]);
  const scaleType = parts.requireScales('scales', [[groups, rows]]);
  const hasIndex = parts.has('g_idx');
  if (hasIndex) parts.require('g_idx', ['int32', 'int64'], [[columns]]);
  return {
    shape,
    dtype,
    bytes: parts.bytes,
    async read(signal) {
      const packed = transposeArray((await parts.read('qweight', signal)).data as Int32Array, words, rows);
      const stored = (await parts.read('qzeros', signal)).data as Int32Array;
      const zeros = transposeArray(zeroPoints(stored, [groups, rows], bits, zeroOffset), groups, rows);
      const symmetric = zeros.every((zero) => zero === symmetricZero(bits));
      const index = hasIndex ? await parts.readGroupIndex('g_idx', groups, signal) : undefined;
      const plain = index?.every((group, column) => group === Math.floor(column / groupSize)) ?? true;
      return {
        form: 'quantized',
        shape,
        scheme: { ...scheme, symmetric },
        codes: unpackRows(packed, shape, bits),
        scales: transposeArray(await parts.readScales('scales', signal), groups, rows),
        scaleType,
        zeros: symmetric ? undefined : zeros,
        groupIndex: plain ? undefined : index,
      };
    },
  };
}

/**
 * Zero points [groups, rows]. Version 1 is version 2 less one in every field, taken from whole words, as GPTQModel does it: where a zero point of 0 borrowed from its neighbour, adding
 * to whole words gives it back. Fields of 3 bits lie across words, and count modulo 8.
 */
function zeroPoints(words: Int32Array, shape: readonly [number, number], bits: number, offset: number): Uint8Array {
  if (offset === 0) return unpackRows(words, shape, bits);
  if (32 % bits !== 0) return unpackRows(words, shape, bits).map((field) => (field + offset) & largestCode(bits));
  // 1 in every field: 0x11111111 for 4 bits.
  const ones = (2 ** 32 - 1) / largestCode(bits);
  return unpackRows(
    words.map((word) => word + ones),
    shape,
    bits,
  );
}
