import type { QuantizedWeight } from '@pare/core';
import { codeRows } from '@pare/weights';

/** A quantized matrix [out, in] as a format's own reader finds it in a file, element by element. */
export interface ReadMatrix {
  readonly codes: {
    readonly tensor: string;
    at(row: number, column: number): number;
    /** A row's codes at once, for layouts that read it faster so. */
    row?(row: number, into: Uint8Array): void;
  };
  readonly scales: {
    readonly tensor: string;
    /** Type in the file's header: `F16`. */
    readonly dtype: string;
    /** Groups of a row. */
    readonly groups: number;
    at(row: number, group: number): number;
  };
  /** Absent where none are stored. */
  readonly zeros?: { readonly tensor: string; at(row: number, group: number): number } | undefined;
  /** Group of a column, absent where none is stored. */
  readonly index?: { readonly tensor: string; at(column: number): number } | undefined;
}

/** Half a unit in the last place of the types that weights and scales are stored in: relative for normal, absolute for subnormal numbers. */
export const roundingErrors: Readonly<Record<string, { readonly relative: number; readonly absolute: number }>> = {
  F64: { relative: 0, absolute: 0 },
  F32: { relative: 0, absolute: 0 },
  F16: { relative: 2 ** -11, absolute: 2 ** -25 },
  BF16: { relative: 2 ** -8, absolute: 2 ** -134 },
};

/**
 * Compares what was read with the held form: every code, scale, zero point and group. Scales may differ by the rounding of their type in the file where they are held in another.
 *
 * @param fail throws, with the tensor and what is wrong with it
 * @returns the largest difference of a scale
 */
export function compareMatrix(read: ReadMatrix, form: QuantizedWeight, fail: (tensor: string, problem: string) => never): number {
  const [rows, columns] = form.shape;
  const { granularity, groupSize, bits } = form.scheme;
  const groups = granularity === 'group' ? Math.ceil(columns / groupSize) : 1;
  if (read.scales.groups !== groups) fail(read.scales.tensor, `has ${String(read.scales.groups)} groups a row by its group size, the model has ${String(groups)}`);
  const differs = (tensor: string, what: string, found: number, held: number | undefined, ...place: number[]): never =>
    fail(tensor, `holds ${what}${String(found)} for ${String(held)} at [${place.join(', ')}]`);
  const codes = new Uint8Array(columns);
  const heldRow = codeRows(form);
  for (let row = 0; row < rows; row++) {
    if (read.codes.row !== undefined) read.codes.row(row, codes);
    else for (let column = 0; column < columns; column++) codes[column] = read.codes.at(row, column);
    const held = heldRow(row);
    if (equalBytes(codes, held)) continue;
    for (let column = 0; column < columns; column++) {
      if (codes[column] !== held[column]) differs(read.codes.tensor, 'code ', codes[column]!, held[column], row, column);
    }
  }
  if (read.zeros === undefined && form.zeros !== undefined) fail(read.scales.tensor, 'has no zero points beside it, the model is asymmetric');
  const exact = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }[read.scales.dtype] === form.scaleType;
  const { relative, absolute } = exact ? roundingErrors['F32']! : roundingErrors[read.scales.dtype]!;
  let largest = 0;
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) {
      const grid = granularity === 'tensor' ? 0 : row * groups + group;
      const held = form.scales[grid]!;
      const scale = read.scales.at(row, group);
      const difference = Math.abs(scale - held);
      if (!(difference <= Math.max(held * relative, absolute))) differs(read.scales.tensor, '', scale, held, row, group);
      largest = Math.max(largest, difference);
      if (read.zeros === undefined) continue;
      const zero = read.zeros.at(row, group);
      const expected = form.zeros === undefined ? 2 ** (bits - 1) : form.zeros[grid];
      if (zero !== expected) differs(read.zeros.tensor, '', zero, expected, row, group);
    }
  }
  if (read.index === undefined) {
    if (form.groupIndex !== undefined) fail(read.codes.tensor, 'has no group index beside it, the model has one');
    return largest;
  }
  for (let column = 0; column < columns; column++) {
    const expected = form.groupIndex === undefined ? Math.floor(column / groupSize) : form.groupIndex[column];
    const group = read.index.at(column);
    if (group !== expected) differs(read.index.tensor, 'group ', group, expected, column);
  }
  return largest;
}

/** Whether two arrays of one length hold the same, four bytes at a time where they lie in whole words. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length % 4 !== 0 || a.byteOffset % 4 !== 0 || b.byteOffset % 4 !== 0) return a.every((byte, index) => byte === b[index]);
  const left = new Int32Array(a.buffer, a.byteOffset, a.length / 4);
  const right = new Int32Array(b.buffer, b.byteOffset, b.length / 4);
  for (let index = 0; index < left.length; index++) if (left[index] !== right[index]) return false;
  return true;
}
