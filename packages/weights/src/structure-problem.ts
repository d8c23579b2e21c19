import type { DenseWeight, FactorizedWeight, QuantizedWeight, SparseWeight, TensorTrainWeight, WeightForm } from '@pare/core';
import { isFloat8 } from './float8.js';
import { packedWords } from './packed-codes.js';
import { wordsPerRow } from './pack-rows.js';
import { inputProblem } from './input-quantization.js';
import { groupsPerRow } from './scheme.js';
import { quantizedPart, zeroCodes } from './sparse/sparse-weight.js';
import { coresProblem } from './tensor-train/tensor-train-weight.js';

/**
 * Why a form contradicts itself, or undefined when it does not: wrong lengths, impossible codes, numbers that are not finite, pruned entries that are not zero.
 */
export function structureProblem(form: WeightForm): string | undefined {
  switch (form.form) {
    case 'dense':
      return denseProblem(form);
    case 'quantized':
      return quantizedProblem(form);
    case 'sparse':
      return sparseProblem(form);
    case 'factorized':
      return factorizedProblem(form);
    case 'tensor-train':
      return trainProblem(form);
    case 'shared':
      return undefined;
  }
}

function denseProblem({ tensor, shape }: DenseWeight): string | undefined {
  if (!['float32', 'float16', 'bfloat16', 'float64'].includes(tensor.dtype)) return `its elements are ${tensor.dtype}, not floating point`;
  if (tensor.data.length !== shape[0]! * shape[1]!) return `it has ${String(tensor.data.length)} elements for shape [${shape.join(', ')}]`;
  if (tensor.dtype === 'float32' || tensor.dtype === 'float64') return notFinite('element', tensor.data as Float32Array | Float64Array);
  return undefined;
}

const wrongLength = (what: string, length: number, expected: number): string => `it has ${String(length)} ${what} instead of ${String(expected)}`;

function quantizedProblem(form: QuantizedWeight): string | undefined {
  const { scheme, shape: [rows, columns], scales, zeros, groupIndex, input } = form;
  const { bits, granularity, groupSize, symmetric, numbers } = scheme;
  if (!Number.isInteger(bits) || bits < 2 || bits > 8) return `it has ${String(bits)} bits; 2 to 8 are possible`;
  if (numbers === 'float8-e4m3' && (bits !== 8 || !symmetric)) return 'its codes are 8-bit floats, which have 8 bits and no zero points';
  if (!Number.isInteger(groupSize) || groupSize < 1) return `its group size is ${String(groupSize)}`;
  const groups = groupsPerRow(scheme, columns);
  const grids = granularity === 'tensor' ? 1 : rows * groups;
  // Whatever stands in a field of so many bits is one of the codes.
  const words = numbers === undefined ? packedWords(form) : undefined;
  if (words !== undefined && words.length !== rows * wordsPerRow(columns, bits)) return wrongLength('words of codes', words.length, rows * wordsPerRow(columns, bits));
  const codes = words === undefined ? form.codes : undefined;
  if (codes !== undefined && codes.length !== rows * columns) return wrongLength('codes', codes.length, rows * columns);
  if (scales.length !== grids) return wrongLength('scales', scales.length, grids);
  if (symmetric && zeros !== undefined) return 'it is symmetric and has zero points';
  if (!symmetric && zeros?.length !== grids) return wrongLength('zero points', zeros?.length ?? 0, grids);
  if (groupIndex !== undefined && groupIndex.length !== columns) return wrongLength('group indices', groupIndex.length, columns);
  if (groupIndex?.some((group) => group < 0 || group >= groups) === true) return `a group index is outside 0 … ${String(groups - 1)}`;
  const limit = 2 ** bits;
  if (codes !== undefined) {
    const notNumber = numbers === 'float8-e4m3' ? codes.findIndex((code) => (code & 0x7f) === 0x7f) : -1;
    if (notNumber >= 0) return `code ${String(notNumber)} is ${String(codes[notNumber])}, NaN among 8-bit floats`;
    const tooLarge = limit > 255 ? -1 : firstFrom(codes, limit);
    if (tooLarge >= 0) return `code ${String(tooLarge)} is ${String(codes[tooLarge])}; ${String(bits)} bits end at ${String(limit - 1)}`;
  }
  if (zeros?.some((zero) => zero >= limit) === true) return `a zero point is beyond ${String(limit - 1)}`;
  return notFinite('scale', scales) ?? (input === undefined ? undefined : inputProblem(input));
}

/** Index of the first code that is not below a power of two, −1 when all are. */
function firstFrom(codes: Uint8Array, limit: number): number {
  // All bits that codes have, four codes at a time where they lie so: a callback for every code takes many times as long.
  let seen = 0;
  const whole = codes.byteOffset % 4 === 0 ? codes.length >>> 2 : 0;
  const words = new Uint32Array(codes.buffer, whole === 0 ? 0 : codes.byteOffset, whole);
  for (let index = 0; index < whole; index++) seen |= words[index]!;
  for (let index = 4 * whole; index < codes.length; index++) seen |= codes[index]!;
  const bits = (seen | (seen >>> 8) | (seen >>> 16) | (seen >>> 24)) & 0xff;
  return bits < limit ? -1 : codes.findIndex((code) => code >= limit);
}

function sparseProblem({ shape, pattern, mask, values }: SparseWeight): string | undefined {
  const [rows, columns] = shape;
  if (values.shape.join() !== shape.join()) return `its values have shape [${values.shape.join(', ')}]`;
  const problem = values.form === 'dense' ? denseProblem(values) : quantizedProblem(values);
  if (problem !== undefined) return problem;
  if (mask.length !== rows * columns) return wrongLength('mask entries', mask.length, rows * columns);
  const odd = mask.findIndex((entry) => entry > 1);
  if (odd !== -1) return `mask entry ${String(odd)} is ${String(mask[odd])}; 0 and 1 are possible`;
  const nonzero = firstNonzero(mask, shape, values);
  if (nonzero !== -1) return `element ${String(nonzero)} is pruned and not zero`;
  if (pattern.kind === 'unstructured') return undefined;
  const { zeros, group } = pattern;
  if (columns % group !== 0) return `groups of ${String(group)} do not divide its ${String(columns)} inputs`;
  for (let start = 0; start < mask.length; start += group) {
    let kept = 0;
    for (let index = start; index < start + group; index++) kept += mask[index]!;
    if (kept !== group - zeros) return `the group at element ${String(start)} keeps ${String(kept)} of ${String(group)}, not ${String(group - zeros)}`;
  }
  return undefined;
}

function factorizedProblem({ shape: [rows, columns], left, right }: FactorizedWeight): string | undefined {
  const size = (values: readonly number[]): string => `[${values.join(', ')}]`;
  const rank = left.shape[1]!;
  if (left.shape.length !== 2 || left.shape[0] !== rows) return `its left factor has shape ${size(left.shape)} for ${String(rows)} outputs`;
  if (right.shape.length !== 2 || right.shape[1] !== columns) return `its right factor has shape ${size(right.shape)} for ${String(columns)} inputs`;
  if (right.shape[0] !== rank) return `its factors ${size(left.shape)} and ${size(right.shape)} have no product`;
  if (rank < 1) return 'its rank is 0';
  for (const [name, factor] of [['left', left], ['right', right]] as const) {
    if (!['dense', 'quantized', 'sparse'].includes(factor.form)) return `its ${name} factor is ${factor.form}`;
    const problem = structureProblem(factor);
    if (problem !== undefined) return `of its ${name} factor: ${problem}`;
    if (quantizedPart(factor)?.input !== undefined) return `its ${name} factor rounds its inputs, which layers of two matrices do not`;
  }
  return undefined;
}

function trainProblem(form: TensorTrainWeight): string | undefined {
  const problem = coresProblem(form);
  if (problem !== undefined) return problem;
  for (const [index, tensor] of form.cores.entries()) {
    const [rows, ...core] = tensor.shape;
    const values = denseProblem({ form: 'dense', shape: [rows!, core.reduce((product, size) => product * size, 1)], tensor });
    if (values !== undefined) return `of core ${String(index + 1)}: ${values}`;
  }
  return undefined;
}

/** Index of a pruned entry that does not stand for zero, or −1. */
function firstNonzero(mask: Uint8Array, [, columns]: readonly [number, number], values: DenseWeight | QuantizedWeight): number {
  if (values.form === 'quantized') {
    if (isFloat8(values.scheme)) return mask.findIndex((entry, index) => entry === 0 && (values.codes[index]! & 0x7f) !== 0);
    const zeroCode = zeroCodes(values);
    return mask.findIndex((entry, index) => entry === 0 && values.codes[index] !== zeroCode(Math.floor(index / columns), index % columns));
  }
  const { dtype, data } = values.tensor;
  // Half-precision numbers are held as bits, where only the sign may be set in a zero.
  if (dtype === 'float16' || dtype === 'bfloat16') return mask.findIndex((entry, index) => entry === 0 && (Number(data[index]) & 0x7fff) !== 0);
  return mask.findIndex((entry, index) => entry === 0 && Number(data[index]) !== 0);
}

function notFinite(what: string, values: Float32Array | Float64Array): string | undefined {
  for (let index = 0; index < values.length; index++) {
    if (!Number.isFinite(values[index])) return `${what} ${String(index)} is ${String(values[index])}`;
  }
  return undefined;
}
