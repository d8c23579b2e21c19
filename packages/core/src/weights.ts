import type { HostTensor } from './tensor.js';

/** How the integer grid of a quantized matrix is shared: one for the tensor, one per row (output channel), or one per run of `groupSize` inputs of a row. */
export type QuantizationGranularity = 'tensor' | 'channel' | 'group';

/** What codes are: integers of a uniform affine grid, value = scale · (code − zero), or the bytes of 8-bit floats with 4 bits of exponent (`float8_e4m3fn`), value = scale · float8(code). */
export type QuantizationNumbers = 'integer' | 'float8-e4m3';

/** The scheme of a quantized matrix. */
export interface QuantizationScheme {
  /** Bits of a code, 2 to 8. */
  readonly bits: number;
  /** True when every zero is 2^(bits−1) and none is stored; always with 8-bit floats, which have no zero points. */
  readonly symmetric: boolean;
  readonly granularity: QuantizationGranularity;
  /** Inputs that share a grid; the row length for `channel` and `tensor`. */
  readonly groupSize: number;
  /** Integers when absent. 8-bit floats have 8 bits and are symmetric. */
  readonly numbers?: QuantizationNumbers | undefined;
}

/**
 * How the inputs x [..., in] of a linear layer are rounded to 8-bit integers q before the product (arXiv 2211.10438, §3): x̂ = scale · (q − zero). Granularity `token` is always dynamic, found while
 * the model runs, and symmetric: q = rne(x / scale), scale = max(max|x|, 10⁻⁵) / 127 for each row. `tensor` is never dynamic: q = clamp(rne(x / scale) + zero, −128, 127).
 */
export interface InputQuantization {
  readonly bits: 8;
  readonly symmetric: boolean;
  readonly granularity: 'tensor' | 'token';
  readonly dynamic: boolean;
  /** Static only: positive, and a value of the type that the weight's scales are stored in; with it, unless symmetric, −128 … 127. */
  readonly scale?: number | undefined;
  readonly zero?: number | undefined;
}

/** The same as plans have it, without numbers. */
export type InputScheme = Omit<InputQuantization, 'scale' | 'zero'>;

/** A matrix as it is: [out, in], or any other tensor in its stored shape. */
export interface DenseWeight {
  readonly form: 'dense';
  readonly shape: readonly number[];
  readonly tensor: HostTensor;
}

/** A matrix [out, in] of codes with G = ceil(in / groupSize) grids a row (one grid in all for granularity `tensor`). */
export interface QuantizedWeight {
  readonly form: 'quantized';
  readonly shape: readonly [number, number];
  readonly scheme: QuantizationScheme;
  /** Unsigned codes 0 … 2^bits − 1, or bytes of 8-bit floats, one byte each, [out, in] row-major. */
  readonly codes: Uint8Array;
  /** [out, G]; [1] for granularity `tensor`. Already rounded to the type they will be stored in. */
  readonly scales: Float32Array;
  /** Storage type of the scales. */
  readonly scaleType: 'float32' | 'float16' | 'bfloat16';
  /** Zero points in code units, same shape as the scales; absent when symmetric (all 2^(bits−1)). */
  readonly zeros: Uint8Array | undefined;
  /** Grid of each input column [in] when columns were grouped in another order than they stand; absent for floor(column / groupSize). */
  readonly groupIndex: Int32Array | undefined;
  readonly input?: InputQuantization | undefined;
}

/**
 * Where a sparse matrix has its zeros. `unstructured`: anywhere. `grouped`: exactly `zeros` of every `group` neighbouring inputs of a row are pruned (N:M, Mishra
 * et al., arXiv 2104.08378; 2:4 is zeros 2, group 4).
 */
export type SparsityPattern = { readonly kind: 'unstructured' } | { readonly kind: 'grouped'; readonly zeros: number; readonly group: number };

/** A matrix [out, in] of which only some entries are kept; the others are exactly zero. */
export interface SparseWeight {
  readonly form: 'sparse';
  readonly shape: readonly [number, number];
  readonly pattern: SparsityPattern;
  /** 1 for kept entries, 0 for pruned ones, one byte each, [out, in] row-major. A kept entry may happen to be zero. */
  readonly mask: Uint8Array;
  /** All entries in their places, pruned ones zero: dense, or quantized with the zero of their grid as code. */
  readonly values: DenseWeight | QuantizedWeight;
}

/**
 * A matrix [out, in] as the product left·right of two of rank r, each in a form of its own. Layers run it as two products; its rank is `left.shape[1]`.
 */
export interface FactorizedWeight {
  readonly form: 'factorized';
  readonly shape: readonly [number, number];
  /** [out, r]. */
  readonly left: FactorWeight;
  /** [r, in]. */
  readonly right: FactorWeight;
}

/** What a factor may be: anything that stands on its own and is no product itself. */
export type FactorWeight = DenseWeight | QuantizedWeight | SparseWeight;

/**
 * A matrix [rows, columns] whose every row is a tensor train of its own (Oseledets 2011; Xu, Xu & Mandic, arXiv 2307.00526). A row, with zeros behind it, is folded to
 * [I_1, …, I_N], the last index fastest: x[i_1, …, i_N] = G_1[:, i_1, :] · G_2[:, i_2, :] · … · G_N[:, i_N, :]. All rows have the same ranks, so that row
 * t of every core is found by its number alone.
 */
export interface TensorTrainWeight {
  readonly form: 'tensor-train';
  readonly shape: readonly [number, number];
  /** I_1 … I_N; their product is at least `columns`. */
  readonly sizes: readonly number[];
  /** G_k of all rows, [rows, r_(k−1), I_k, r_k] in a floating type; r_0 = r_N = 1. */
  readonly cores: readonly HostTensor[];
}

/** The same weights as another tensor of the model, such as a head tied to the embedding. */
export interface SharedWeight {
  readonly form: 'shared';
  readonly shape: readonly number[];
  /** Name of the module that owns the weights. */
  readonly with: string;
}

/** One representation for every kind of compressed weight; techniques produce it, backends evaluate it, formats write it. */
export type WeightForm = DenseWeight | QuantizedWeight | SparseWeight | FactorizedWeight | TensorTrainWeight | SharedWeight;

/** The kinds of forms, as formats and techniques declare them. */
export type WeightFormKind = WeightForm['form'];
