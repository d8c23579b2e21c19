import { pareError, type QuantizedWeight } from '@pare/core';
import { columnGroups } from './dequantize.js';
import { isFloat8 } from './float8.js';
import { groupsPerRow, symmetricZero, type ScaleType } from './scheme.js';

/** Widths that onnxruntime's `com.microsoft.MatMulNBits` computes with. */
export type MatMulNBitsWidth = 2 | 4 | 8;

/** The constant inputs of a `com.microsoft.MatMulNBits` node for a weight [N, K] = [out, in]. */
export interface MatMulNBitsWeight {
  readonly bits: MatMulNBitsWidth;
  /** A power of two, 16 to 256. */
  readonly blockSize: number;
  /** ceil(K / blockSize). */
  readonly blocks: number;
  /** [N, blocks, blockSize·bits/8], the first input in the lowest bits; a last block is filled up with codes that mean 0. */
  readonly data: Uint8Array;
  /** [N, blocks]. */
  readonly scales: Float32Array;
  /** [N, ceil(blocks·bits/8)], each row from a byte border, lowest bits first; absent when every zero is the operator's default 2^(bits−1). */
  readonly zeroPoints: Uint8Array | undefined;
}

/** The narrowest width that holds codes of `bits`. */
export function matMulNBitsWidth(bits: number): MatMulNBitsWidth {
  return bits <= 2 ? 2 : bits <= 4 ? 4 : 8;
}

/**
 * Why a weight cannot be laid out in blocks of `blockSize`, or undefined when it can: the size has to be a power of two from 16 to 256, and
 * every block has to lie within one grid, so a group size must be a multiple of it.
 */
export function matMulNBitsProblem(weight: Pick<QuantizedWeight, 'scheme' | 'shape' | 'groupIndex'>, blockSize: number): string | undefined {
  if (isFloat8(weight.scheme)) return 'its codes are 8-bit floats, and MatMulNBits knows integers';
  if (!Number.isInteger(Math.log2(blockSize)) || blockSize < 16 || blockSize > 256) return `block size ${String(blockSize)} is not a power of two from 16 to 256`;
  const columns = weight.shape[1];
  const group = columnGroups(weight);
  for (let column = 0; column < columns; column++) {
    const first = column - (column % blockSize);
    if (group[column] === group[first]) continue;
    return weight.groupIndex === undefined
      ? `groups of ${String(weight.scheme.groupSize)} inputs are not made of whole blocks of ${String(blockSize)}`
      : `the group index puts inputs ${String(first)} and ${String(column)} of one block of ${String(blockSize)} into different groups`;
  }
  return undefined;
}

/**
 * Lays a quantized matrix out for `com.microsoft.MatMulNBits`. Codes of 3, 5, 6 and 7 bits are widened to 4 or 8; symmetric ones are moved so
 * that the operator's default zero point holds. A group of several blocks repeats its scale.
 * @throws PARE_FORM_UNSUPPORTED when `matMulNBitsProblem` finds one.
 */
export function packMatMulNBits(weight: QuantizedWeight, blockSize: number): MatMulNBitsWeight {
  const problem = matMulNBitsProblem(weight, blockSize);
  if (problem !== undefined) {
    throw pareError('PARE_FORM_UNSUPPORTED', { operation: 'packing for MatMulNBits', found: problem, allowed: 'block sizes 16, 32, 64, 128, 256 that divide the group size' });
  }
  const [rows, columns] = weight.shape;
  const { scheme, codes } = weight;
  const bits = matMulNBitsWidth(scheme.bits);
  const blocks = Math.ceil(columns / blockSize);
  const blockBytes = (blockSize * bits) / 8;
  const perByte = 8 / bits;
  const groups = groupsPerRow(scheme, columns);
  const group = columnGroups(weight);
  const shift = scheme.symmetric ? symmetricZero(bits) - symmetricZero(scheme.bits) : 0;
  const data = new Uint8Array(rows * blocks * blockBytes);
  const scales = new Float32Array(rows * blocks);
  const zeroBytes = Math.ceil((blocks * bits) / 8);
  const zeroPoints = weight.zeros === undefined ? undefined : new Uint8Array(rows * zeroBytes);
  for (let row = 0; row < rows; row++) {
    const grids = scheme.granularity === 'tensor' ? 0 : row * groups;
    for (let block = 0; block < blocks; block++) {
      const start = block * blockSize;
      const grid = grids + group[start]!;
      scales[row * blocks + block] = weight.scales[grid]!;
      const zero = weight.zeros === undefined ? symmetricZero(bits) : weight.zeros[grid]!;
      if (zeroPoints !== undefined) zeroPoints[row * zeroBytes + Math.floor(block / perByte)]! |= zero << ((block % perByte) * bits);
      const bytes = (row * blocks + block) * blockBytes;
      for (let position = 0; position < blockSize; position++) {
        const column = start + position;
        const code = column < columns ? codes[row * columns + column]! + shift : zero;
        data[bytes + Math.floor(position / perByte)]! |= code << ((position % perByte) * bits);
      }
    }
  }
  return { bits, blockSize, blocks, data, scales, zeroPoints };
}

/** The matrix [N, K] that a MatMulNBits weight stands for, one group a block. */
export function unpackMatMulNBits(packed: MatMulNBitsWeight, shape: readonly [number, number], scaleType: ScaleType = 'float32'): QuantizedWeight {
  const [rows, columns] = shape;
  const { bits, blockSize, blocks, data, scales, zeroPoints } = packed;
  const perByte = 8 / bits;
  const mask = 2 ** bits - 1;
  const blockBytes = (blockSize * bits) / 8;
  const zeroBytes = Math.ceil((blocks * bits) / 8);
  const codes = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const byte = (row * blocks + Math.floor(column / blockSize)) * blockBytes + Math.floor((column % blockSize) / perByte);
      codes[row * columns + column] = (data[byte]! >>> ((column % perByte) * bits)) & mask;
    }
  }
  let zeros: Uint8Array | undefined;
  if (zeroPoints !== undefined) {
    zeros = Uint8Array.from(
      { length: rows * blocks },
      (_, index) => (zeroPoints[Math.floor(index / blocks) * zeroBytes + Math.floor((index % blocks) / perByte)]! >>> (((index % blocks) % perByte) * bits)) & mask,
    );
  }
  const granularity = blocks === 1 ? 'channel' : 'group';
  const scheme = { bits, symmetric: zeros === undefined, granularity, groupSize: blocks === 1 ? columns : blockSize } as const;
  return { form: 'quantized', shape: [rows, columns], scheme, codes, scales: scales.slice(), scaleType, zeros, groupIndex: undefined };
}
