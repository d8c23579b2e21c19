import { pareError, type Model, type QuantizedWeight, type WeightForm } from '@pare/core';
import { matrixParts, quantizedPart, matMulNBitsProblem, matMulNBitsWidth, packMatMulNBits, type MatMulNBitsWeight, type MatMulNBitsWidth } from '@pare/weights';

/** How a quantized matrix will be laid out, known without keeping its codes. */
export interface PackedLayout {
  readonly module: string;
  /** Name of the matrix: the module's, or that of a factor (`matrixParts`). */
  readonly matrix: string;
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
export function planLayout(module: string, weight: QuantizedWeight, matrix = module): PackedLayout {
  const { shape, scheme } = weight;
  const bits = matMulNBitsWidth(scheme.bits);
  const fitting = blockSizes.filter((size) => matMulNBitsProblem(weight, size) === undefined);
  const [blockSize] = fitting.sort((a, b) => packedBytes(shape, bits, a) - packedBytes(shape, bits, b));
  if (blockSize === undefined) {
    throw pareError('PARE_FORM_UNSUPPORTED', {
      operation: `writing "${matrix}" as MatMulNBits`,
      found: matMulNBitsProblem(weight, 16) ?? 'no block size fits',
      allowed: 'groups of 16 inputs or a multiple, in the order in which the inputs stand (staticGroups: true, or actOrder: false)',
    });
  }
  return { module, matrix, shape, bits, blockSize, blocks: Math.ceil(shape[1] / blockSize), zeroPoints: weight.zeros !== undefined };
}

/** Packs matrices of a model on demand. Keeps the last one, because its codes, scales and zero points are asked for one after the other. */
export class Packer {
  readonly #model: Model;
  #last: { readonly matrix: string; readonly packed: Promise<MatMulNBitsWeight> } | undefined;

  constructor(model: Model) {
    this.#model = model;
  }

  get(layout: PackedLayout): Promise<MatMulNBitsWeight> {
    if (this.#last?.matrix !== layout.matrix) this.#last = { matrix: layout.matrix, packed: this.#pack(layout) };
    return this.#last.packed;
  }

  async #pack({ module, matrix, blockSize }: PackedLayout): Promise<MatMulNBitsWeight> {
    return packMatMulNBits(quantizedWeight(await matrixForm(this.#model, module, matrix), matrix), blockSize);
  }
}

/** Reads quantized matrices of a model. Keeps the last one, because its parts are asked for one after the other. */
export class FormReader {
  readonly #model: Model;
  #last: { readonly module: string; readonly form: Promise<QuantizedWeight> } | undefined;

  constructor(model: Model) {
    this.#model = model;
  }

  quantized(module: string): Promise<QuantizedWeight> {
    if (this.#last?.module !== module) this.#last = { module, form: this.#model.weight(module).then((form) => quantizedWeight(form, module)) };
    return this.#last.form;
  }
}

/** The form of a module's weight, or of one of its factors. */
export async function matrixForm(model: Model, module: string, matrix: string): Promise<WeightForm> {
  const form = await model.weight(module);
  return matrixParts(module, form).find(({ name }) => name === matrix)?.form ?? form;
}

/** A matrix which has to be quantized; a sparse one with codes is, its zeros among them. */
function quantizedWeight(form: WeightForm, matrix: string): QuantizedWeight {
  const quantized = quantizedPart(form);
  if (quantized === undefined) throw pareError('PARE_FORM_UNSUPPORTED', { operation: `packing "${matrix}"`, found: `a ${form.form} weight`, allowed: 'quantized weights' });
  return quantized;
}
