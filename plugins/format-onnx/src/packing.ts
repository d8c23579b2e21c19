import { pareError, type Model, type QuantizedWeight } from '@pare/core';
import { quantizedPart, matMulNBitsProblem, matMulNBitsWidth, packMatMulNBits, type MatMulNBitsWeight, type MatMulNBitsWidth } from '@pare/weights';

/** How a quantized matrix will be laid out, known without keeping its codes. */
export interface PackedLayout {
  readonly module: string;
  /** [out, in]. */
  readonly shape: readonly [number, number];
  readonly bits: MatMulNBitsWidth;
  readonly blockSize: number;
  readonly blocks: number;
  readonly zeroPoints: boolean;
}

/** Block sizes that every runtime knows. */
export const blockSizes = [256, 128, 64, 32, 16] as const;

/** Bytes of codes and float32 scales in blocks of a size; the last block of a row is filled up. */
function packedBytes([rows, columns]: readonly [number, number], bits: number, blockSize: number): number {
  const blocks = Math.ceil(columns / blockSize);
  return rows * blocks * ((blockSize * bits) / 8 + 4);
}

/**
 * The block size that stores a weight in the fewest bytes without changing a value: groups that are no block size themselves are split, whole rows too.
 * @throws PARE_FORM_UNSUPPORTED when no block lies within one group
 */
export function planLayout(module: string, weight: QuantizedWeight): PackedLayout {
  const { shape, scheme } = weight;
  const bits = matMulNBitsWidth(scheme.bits);
  const fitting = blockSizes.filter((size) => matMulNBitsProblem(weight, size) === undefined);
  const [blockSize] = fitting.sort((a, b) => packedBytes(shape, bits, a) - packedBytes(shape, bits, b));
  if (blockSize === undefined) {
    throw pareError('PARE_FORM_UNSUPPORTED', {
      operation: `writing "${module}" as MatMulNBits`,
      found: matMulNBitsProblem(weight, 16) ?? 'no block size fits',
      allowed: 'groups of 16 inputs or a multiple, in the order in which the inputs stand (staticGroups: true, or actOrder: false)',
    });
  }
  return { module, shape, bits, blockSize, blocks: Math.ceil(shape[1] / blockSize), zeroPoints: weight.zeros !== undefined };
}

/** Packs matrices of a model on demand. Keeps the last one, because its codes, scales and zero points are asked for one after the other. */
export class Packer {
  readonly #model: Model;
  #last: { readonly module: string; readonly packed: Promise<MatMulNBitsWeight> } | undefined;

  constructor(model: Model) {
    this.#model = model;
  }

  get(layout: PackedLayout): Promise<MatMulNBitsWeight> {
    if (this.#last?.module !== layout.module) this.#last = { module: layout.module, packed: this.#pack(layout) };
    return this.#last.packed;
  }

  async #pack({ module, blockSize }: PackedLayout): Promise<MatMulNBitsWeight> {
    return packMatMulNBits(await quantizedWeight(this.#model, module), blockSize);
  }
}

/** A module's weight, which has to be quantized; a sparse one with codes is, its zeros among them. */
export async function quantizedWeight(model: Model, module: string): Promise<QuantizedWeight> {
  const form = await model.weight(module);
  const quantized = quantizedPart(form);
  if (quantized === undefined) throw pareError('PARE_FORM_UNSUPPORTED', { operation: `packing "${module}"`, found: `a ${form.form} weight`, allowed: 'quantized weights' });
  return quantized;
}
