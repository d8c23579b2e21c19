import type { Routine } from './program.js';

/* Computations that kernels are written by hand for. A device that lacks one leaves it out, and the operators that need it are composed or fall back.
   All tensors are dense row-major unless strides are given; float tensors are float32 unless the request says otherwise. Strides and offsets count
   elements. Sizes may be 0: no dispatch is needed then, or one that writes the neutral result. */

/** Matrix product with optional addend: y[b] = alpha · op(a[b]) · op(b[b]) + beta · c. Buffers `a`, `b`, `c` (when `addend`), `y`. */
export interface MatMulRequest {
  /** Element type of a and b, float32 by default; c and y are float32. Another only where `narrowing` asks for it. */
  readonly type?: 'float32' | 'bfloat16' | undefined;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Products computed side by side. */
  readonly batch: number;
  /** Elements between the matrices of neighbouring products; 0 when all share one. */
  readonly aBatchStride: number;
  readonly bBatchStride: number;
  /** Elements between neighbouring lines of a and b as they are stored, where the device says `spacedProducts`; the length of a line by default. */
  readonly aLineStride?: number | undefined;
  readonly bLineStride?: number | undefined;
  /** a is stored [k, m] instead of [m, k]. */
  readonly transposeA: boolean;
  /** b is stored [n, k] instead of [k, n], as weights are. */
  readonly transposeB: boolean;
  readonly alpha: number;
  /** What is added, by its strides along rows, columns and products (0 where it is broadcast). */
  readonly addend?: { readonly beta: number; readonly rowStride: number; readonly columnStride: number; readonly batchStride: number } | undefined;
  /** Elementwise function of the finished value, applied before it is stored. */
  readonly activation?: 'relu' | 'gelu' | 'gelu-tanh' | 'silu' | undefined;
}

/**
 * Product with a weight of packed integer codes, as com.microsoft MatMulNBits defines it: y[m, n] = x[m, k] · dequantize(codes)ᵀ + bias.
 * Buffers `x`, `codes` (uint8 [n, ceil(k / blockSize), blockSize · bits / 8]), `scales` ([n, blocks]), `zeros` (when `zeros`: packed uint8, rows padded to bytes),
 * `bias` ([n], when `bias`), `y`.
 */
export interface QuantizedMatMulRequest {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly bits: 4 | 8;
  /** A power of two from 16. */
  readonly blockSize: number;
  readonly zeros: boolean;
  readonly bias: boolean;
}

/** Softmax or its logarithm over the last axis of [rows, columns]. Buffers `x`, `y`. */
export interface SoftmaxRequest {
  readonly rows: number;
  readonly columns: number;
  readonly logarithm: boolean;
}

/**
 * Layer or RMS normalisation of the rows of [rows, columns]: y = (x − mean) · inverse · scale + bias, with inverse = 1 / √(variance + epsilon); the RMS kind has no mean.
 * Buffers `x`, `scale` ([columns]), `bias` ([columns], when `bias`), `y`, and `mean`, `inverse` ([rows], when asked for).
 */
export interface NormalizationRequest {
  readonly rows: number;
  readonly columns: number;
  readonly epsilon: number;
  readonly kind: 'layer' | 'rms';
  readonly scale: boolean;
  readonly bias: boolean;
  readonly mean: boolean;
  readonly inverse: boolean;
}

/**
 * Attention without a stored score matrix: y = softmax(scale · q·kᵀ, capped, + mask) · v, with an online softmax over blocks of keys (Milakov and Gimelshein 2018,
 * arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135). Query head h reads key head floor(h · keyHeads / heads). Buffers `q`, `k`, `v`, `mask` (when `mask`), `y`.
 */
export interface AttentionRequest {
  readonly batch: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly queries: number;
  readonly keys: number;
  readonly headSize: number;
  readonly valueSize: number;
  readonly scale: number;
  /** Scores become cap · tanh(score / cap); 0 for none. */
  readonly cap: number;
  /** True where query i (counted from the end of the keys) sees keys up to its own position only. */
  readonly causal: boolean;
  /** Elements between neighbours along [batch, head, position]; features are adjacent. */
  readonly qStrides: readonly [number, number, number];
  readonly kStrides: readonly [number, number, number];
  readonly vStrides: readonly [number, number, number];
  readonly yStrides: readonly [number, number, number];
  /** Strides of an additive mask along [batch, head, query, key]; 0 where it is broadcast. */
  readonly mask?: readonly [number, number, number, number] | undefined;
}

/** The k largest (or smallest) of each row of [rows, columns], sorted; equal values in order of index. Buffers `x` (float32 or int32 by `type`), `values` ([rows, k]), `indices` (int32 [rows, k]). */
export interface TopKRequest {
  readonly rows: number;
  readonly columns: number;
  readonly k: number;
  readonly largest: boolean;
  readonly type: 'float32' | 'int32' | 'uint32';
}

/** float32 to bfloat16, rounded to nearest. Buffers `x` ([count]), `y` ([count] bfloat16, room for a multiple of four). */
export interface NarrowRequest {
  readonly count: number;
}

/** Products in fewer bits than their operands have. A buffer that several products read is narrowed once. */
export interface Narrowing {
  /** Whether a product of float32 operands is made with operands in bfloat16. */
  readonly pays: (request: Pick<MatMulRequest, 'm' | 'n' | 'k' | 'batch'>) => boolean;
  readonly narrow: Routine<NarrowRequest>;
}

/** The routines that a device has kernels for. */
export interface RoutineTable {
  readonly narrowing?: Narrowing | undefined;
  readonly matMul: Routine<MatMulRequest>;
  readonly quantizedMatMul?: Routine<QuantizedMatMulRequest> | undefined;
  readonly softmax?: Routine<SoftmaxRequest> | undefined;
  readonly normalization?: Routine<NormalizationRequest> | undefined;
  readonly attention?: Routine<AttentionRequest> | undefined;
  readonly topK?: Routine<TopKRequest> | undefined;
}

/** Products that share b and whose rows follow each other become one. */
export function mergedRows(request: MatMulRequest): MatMulRequest {
  const { m, n, k, batch, aBatchStride, bBatchStride, transposeA, addend } = request;
  const rowsFollow = !transposeA && bBatchStride === 0 && aBatchStride === m * (request.aLineStride ?? k);
  const addendFollows = addend === undefined || addend.batchStride === m * addend.rowStride;
  if (batch <= 1 || m === 0 || n === 0 || !rowsFollow || !addendFollows) return request;
  return { ...request, m: batch * m, batch: 1, aBatchStride: 0, addend: addend && { ...addend, batchStride: 0 } };
}
