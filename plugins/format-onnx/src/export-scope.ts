import { hostTensor, pareError, throwIfAborted, type DecoderDescription, type DType, type FactorWeight, type InputQuantization, type LazyTensor, type LinearDescription, type Model } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import type { CachedDecoderScope } from '@pare/model';
import { addTokenCodes, coreShapes, decodeTrains, denseFloat32, InputRounding, lookUpTrains, staticInputConstants, trainCoreName, type TrainShape } from '@pare/weights';
import { denseBytes, floatBytes, readFloat32, transpose } from './dense.js';
import { integerNames, unsignedShift, type IntegerLayout } from './integer.js';
import { FormReader, matrixForm, Packer, type PackedLayout } from './packing.js';
import type { Variant } from './variants.js';

export interface ExportScopeOptions {
  readonly model: Model;
  readonly variant: Variant;
  /** Layouts of the matrices that stay packed, by name: modules, and factors of factorized ones. */
  readonly layouts: ReadonlyMap<string, PackedLayout>;
  /** Ranks of factorized modules. */
  readonly ranks: ReadonlyMap<string, number>;
  /** Sizes and ranks of embeddings in tensor trains. */
  readonly trains: ReadonlyMap<string, TrainShape>;
  /** Modules that round their inputs. */
  readonly inputs: ReadonlyMap<string, InputQuantization>;
  /** Modules whose products with rounded inputs are integer products. */
  readonly integers: ReadonlyMap<string, IntegerLayout>;
  readonly accuracyLevel: number;
  readonly signal: AbortSignal;
  /** Called when a constant has been read. */
  readonly onRead: () => void;
}

/** A matrix that inputs are multiplied by: a module's, or one of its factors (`matrixParts`). */
interface MatrixOfModule {
  readonly module: string;
  readonly matrix: string;
  /** [out, in]. */
  readonly shape: readonly [number, number];
}

/** Inputs of a layer as codes. */
interface InputCodes {
  /** uint8 [..., in]. */
  readonly codes: Value;
  /** float32 [..., 1] or []. */
  readonly scale: Value;
  /** uint8 []. */
  readonly zero: Value;
}

const contrib = { domain: 'com.microsoft' } as const;

/** A scope whose weights are constants, read from the model when the file is written. Modules that share weights share constants. */
export class ExportScope implements CachedDecoderScope {
  readonly builder = new GraphBuilder('decoder');
  readonly dtype: DType;
  readonly maskedScore: number;
  readonly #options: ExportScopeOptions;
  readonly #packer: Packer;
  readonly #forms: FormReader;
  readonly #rounding: InputRounding;
  readonly #codes = new Map<string, InputCodes>();
  readonly #sharedWith: ReadonlyMap<string, string>;

  constructor(options: ExportScopeOptions) {
    this.#options = options;
    this.dtype = options.variant.float;
    // In half precision low enough that exp gives 0, high enough that a score added to it stays finite.
    this.maskedScore = options.variant.float === 'float16' ? -30000 : -1e30;
    this.#packer = new Packer(options.model);
    this.#forms = new FormReader(options.model);
    this.#rounding = new InputRounding(this.builder);
    this.#sharedWith = new Map(options.model.modules.flatMap(({ name, sharedWith }) => (sharedWith === undefined ? [] : [[name, sharedWith] as const])));
  }

  parameter(name: string, shape: readonly number[], dtype: DType = this.dtype): Value {
    return this.#constant(name, dtype, shape, async () => floatBytes(await readFloat32(this.#options.model, name), dtype, name));
  }

  linear(x: Value, layer: LinearDescription): Value {
    const { builder } = this;
    const module = this.#owner(layer.module);
    const { inFeatures, outFeatures } = layer;
    const rank = this.#options.ranks.get(module);
    const product =
      rank === undefined
        ? this.#product(x, { module, matrix: module, shape: [outFeatures, inFeatures] })
        : this.#product(this.#product(x, { module, matrix: `${module}.right`, shape: [rank, inFeatures] }), { module, matrix: `${module}.left`, shape: [outFeatures, rank] });
    return layer.bias ? builder.add(product, this.parameter(`${layer.module}.bias`, [layer.outFeatures])) : product;
  }

  tokenRows(description: DecoderDescription, ids: Value): Value {
    const { builder } = this;
    const module = this.#owner(description.embedding.module);
    const train = this.#options.trains.get(module);
    if (train !== undefined) return lookUpTrains(builder, this.#cores(module, train, description.vocabularySize), train, ids, description.hiddenSize);
    const layout = this.#options.layouts.get(module);
    if (layout === undefined) return builder.gather(this.#table(module, [description.vocabularySize, description.hiddenSize]), ids, 0);
    // Rows of blocks: [batch, positions, blocks, blockSize]. The codes lie as MatMulNBits wants them, so that a tied head reads the same bytes.
    const { data, scales, zeroPoints } = this.#packed(layout);
    const inputs = [data, ids, builder.unsqueeze(scales, [2]), zeroPoints === undefined ? undefined : this.#unpackedZeroPoints(layout)];
    const blocks = builder.op('GatherBlockQuantized', inputs, { bits: layout.bits, block_size: layout.blockSize, gather_axis: 0, quantize_axis: 2 }, contrib);
    const padded = layout.blocks * layout.blockSize;
    const rows = builder.reshape(blocks, [0, 0, padded]);
    return padded === description.hiddenSize ? rows : builder.slice(rows, 2, 0, description.hiddenSize);
  }

  #product(x: Value, of: MatrixOfModule): Value {
    const { layouts, inputs, integers, accuracyLevel } = this.#options;
    const integer = integers.get(of.matrix);
    if (integer !== undefined) return this.#integerProduct(x, integer);
    const layout = layouts.get(of.matrix);
    const input = inputs.get(of.module);
    const rounded = input === undefined ? x : this.#rounded(x, input);
    if (layout === undefined) return this.#denseProduct(rounded, of);
    // What is rounded already is not rounded once more by the runtime.
    return this.#packedProduct(rounded, layout, input === undefined ? accuracyLevel : 1);
  }

  /** Grids of inputs are computed in float32, whatever the graph computes in. */
  #rounded(x: Value, input: InputQuantization): Value {
    const rounded = this.#rounding.round(this.builder.cast(x, 'float32'), input, staticInputConstants(this.builder, input));
    return this.builder.cast(rounded, this.dtype);
  }

  /** (q_x − z_x)·(q_w − z_w) in 32-bit integers, times both scales. */
  #integerProduct(x: Value, { module, shape: [outFeatures, inFeatures], input, scales, zeroPoints }: IntegerLayout): Value {
    const { builder } = this;
    const names = integerNames(module);
    const form = () => this.#forms.quantized(module);
    const codes = this.#constant(names.codes, 'uint8', [inFeatures, outFeatures], async () => transpose((await form()).codes, outFeatures, inFeatures));
    const weightScales = this.#constant(names.scales, 'float32', [scales], async () => floatBytes((await form()).scales, 'float32', names.scales));
    const weightZeros = zeroPoints ? this.#constant(names.zeroPoints, 'uint8', scales === 1 ? [] : [scales], async () => (await form()).zeros!) : this.#byte(unsignedShift);
    const inputCodes = this.#inputCodes(builder.cast(x, 'float32'), input);
    const product = builder.cast(builder.op('MatMulInteger', [inputCodes.codes, codes, inputCodes.zero, weightZeros]), 'float32');
    const scaled = input.dynamic ? builder.mul(builder.mul(product, inputCodes.scale), weightScales) : builder.mul(product, builder.mul(weightScales, inputCodes.scale));
    return builder.cast(scaled, this.dtype);
  }

  /** Inputs in float32 as unsigned codes, computed once for all layers that read them on one grid. */
  #inputCodes(x: Value, { dynamic, scale: fixed, zero = 0 }: InputQuantization): InputCodes {
    const key = [x.name, fixed, zero].join(' ');
    const known = this.#codes.get(key);
    if (known !== undefined) return known;
    const { builder } = this;
    const shift = this.#byte(zero + unsignedShift);
    let made: InputCodes;
    if (dynamic) {
      const { codes, scale } = addTokenCodes(builder, x);
      made = { codes: builder.cast(builder.add(codes, unsignedShift), 'uint8'), scale, zero: shift };
    } else {
      const scale = builder.scalar(fixed!);
      made = { codes: builder.op('QuantizeLinear', [x, scale, shift]), scale, zero: shift };
    }
    this.#codes.set(key, made);
    return made;
  }

  #byte(value: number): Value {
    return this.builder.constant(hostTensor('uint8', [], Uint8Array.of(value)));
  }

  #packedProduct(x: Value, layout: PackedLayout, accuracyLevel: number): Value {
    const { data, scales, zeroPoints } = this.#packed(layout);
    const [outFeatures, inFeatures] = layout.shape;
    const attributes = { K: inFeatures, N: outFeatures, bits: layout.bits, block_size: layout.blockSize, accuracy_level: accuracyLevel };
    return this.builder.op('MatMulNBits', [x, data, scales, zeroPoints], attributes, contrib);
  }

  /** x·W with W stored as [in, out], as runtimes like it best; a matrix that is looked up in as well stays [out, in]. */
  #denseProduct(x: Value, { module, matrix, shape: [outFeatures, inFeatures] }: MatrixOfModule): Value {
    const { builder } = this;
    const { model } = this.#options;
    const train = this.#options.trains.get(module);
    // A head tied to the trains. All of it is constant: engines multiply it out once, when they load the file.
    if (train !== undefined) return builder.matmul(x, builder.transpose(decodeTrains(builder, this.#cores(module, train, outFeatures), train, inFeatures), [1, 0]));
    if (module === this.#owner(model.description.embedding.module)) {
      const product = builder.gemm(builder.reshape(x, [-1, inFeatures]), this.#table(module, [outFeatures, inFeatures]), undefined, { transB: true });
      return builder.reshape(product, [builder.shapeOf(x, 0, -1), outFeatures]);
    }
    const weight = this.#constant(matrixName(matrix), this.dtype, [inFeatures, outFeatures], async () => {
      if (matrix === module) return denseBytes(model, module, this.dtype, 'in-out');
      const form = await matrixForm(model, module, matrix);
      return floatBytes(transpose(denseFloat32(form as FactorWeight), outFeatures, inFeatures), this.dtype, matrix);
    });
    return builder.matmul(x, weight);
  }

  #cores(module: string, train: TrainShape, rows: number): Value[] {
    return coreShapes(train).map((core, index) => {
      const name = trainCoreName(module, index);
      return this.#constant(name, this.dtype, [rows, ...core], async () => floatBytes(await coreFloat32(this.#options.model, module, index), this.dtype, name));
    });
  }

  /** The embedding's matrix as it is stored. */
  #table(module: string, shape: readonly [number, number]): Value {
    return this.#constant(`${module}.weight`, this.dtype, shape, () => denseBytes(this.#options.model, module, this.dtype, 'out-in'));
  }

  #packed(layout: PackedLayout): { data: Value; scales: Value; zeroPoints: Value | undefined } {
    const { matrix, shape, bits, blockSize, blocks } = layout;
    const [rows] = shape;
    const names = packedNames(matrix);
    const packed = () => this.#packer.get(layout);
    return {
      data: this.#constant(names.data, 'uint8', [rows, blocks, (blockSize * bits) / 8], async () => (await packed()).data),
      scales: this.#constant(names.scales, this.dtype, [rows, blocks], async () => floatBytes((await packed()).scales, this.dtype, names.scales)),
      zeroPoints: layout.zeroPoints ? this.#constant(names.zeroPoints, 'uint8', [rows, Math.ceil((blocks * bits) / 8)], async () => (await packed()).zeroPoints!) : undefined,
    };
  }

  /** Zero points for a table of blocks: each in a byte of its own, because they are packed along an axis that has one entry here. */
  #unpackedZeroPoints(layout: PackedLayout): Value {
    const { matrix, shape, bits, blocks } = layout;
    const rowBytes = Math.ceil((blocks * bits) / 8);
    return this.#constant(`${packedNames(matrix).zeroPoints}.unpacked`, 'uint8', [shape[0], blocks, 1], async () => {
      const packed = (await this.#packer.get(layout)).zeroPoints!;
      const unpacked = new Uint8Array(shape[0] * blocks);
      for (let index = 0; index < unpacked.length; index++) {
        const bit = (index % blocks) * bits;
        unpacked[index] = (packed[Math.floor(index / blocks) * rowBytes + (bit >>> 3)]! >>> (bit & 7)) & (2 ** bits - 1);
      }
      return unpacked;
    });
  }

  #owner(module: string): string {
    const shared = this.#sharedWith.get(module);
    return shared === undefined ? module : this.#owner(shared);
  }

  #constant(name: string, dtype: DType, shape: readonly number[], read: () => Promise<Uint8Array>): Value {
    const known = this.builder.value(name);
    if (known !== undefined) return known;
    const { signal, onRead } = this.#options;
    const lazy: LazyTensor = {
      dtype,
      shape,
      async read() {
        throwIfAborted(signal, 'writing the ONNX file');
        const bytes = await read();
        onRead();
        return bytes;
      },
    };
    return this.builder.initializer(name, lazy);
  }
}

/** A core of an embedding in tensor trains. */
async function coreFloat32(model: Model, module: string, index: number): Promise<Float32Array> {
  const form = await model.weight(module);
  if (form.form !== 'tensor-train') throw pareError('PARE_FORM_UNSUPPORTED', { operation: `writing cores of "${module}"`, found: `a ${form.form} weight`, allowed: 'tensor trains' });
  const tensor = form.cores[index]!;
  return denseFloat32({ form: 'dense', shape: tensor.shape, tensor });
}

/** Name of a dense matrix stored [in, out]. */
export function matrixName(module: string): string {
  return `${module}.MatMul.weight`;
}

/** Names of a packed matrix's constants. */
export function packedNames(module: string): { readonly data: string; readonly scales: string; readonly zeroPoints: string } {
  return { data: `${module}.MatMulNBits.weight`, scales: `${module}.MatMulNBits.scales`, zeroPoints: `${module}.MatMulNBits.zero_points` };
}
