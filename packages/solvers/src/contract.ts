import { capabilityRef, type CapabilityRef, type DeviceTensor, type HostTensor } from '@pare/core';
import type { ColumnRule } from './column-rule.js';

/** What `factorize` is asked for. */
export interface FactorizeRequest {
  /** Σ x xᵀ over the rows x of a layer's input, [size, size] row-major, symmetric. Only read. */
  readonly gram: Float32Array | Float64Array;
  readonly size: number;
  /** Multiplies the Gram matrix into the Hessian H; 1 by default, 2 / rows for the Hessian of the mean squared output error. */
  readonly scale?: number | undefined;
  /** Share of mean(diag H) that is added to the diagonal. */
  readonly damping: number;
  /** Added to the damping, as often as needed and while it stays below 1, when H is not positive definite; 0 to fail at once. */
  readonly dampingIncrement: number;
  /** True to visit columns by descending diag H (stable), false for their natural order. */
  readonly actOrder: boolean;
  /** Visiting order of the columns, instead of `actOrder`. */
  readonly order?: Int32Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What is known of a factorized Hessian beside the factor itself. */
export interface FactorFacts {
  readonly size: number;
  /** Column at each position of the visiting order; undefined for the natural order. */
  readonly order: Int32Array | undefined;
  /** The damping that was used, after increments. */
  readonly damping: number;
  /** 1 for columns whose inputs were always 0, natural order. Their weights are taken as 0. */
  readonly dead: Uint8Array;
  /** diag H before damping, natural order, 1 for dead columns. */
  readonly diagonal: Float64Array;
}

/** The damped Hessian of a layer's input, factorized for column sweeps: H⁻¹ = Uᵀ·U with columns in visiting order. */
export interface InverseFactor extends FactorFacts {
  /** U [size, size] row-major, upper triangular, in visiting order. U_ii² = [(H_{i:,i:})⁻¹]₀₀ is what removing column i next costs per squared weight. */
  readonly upper: Float32Array;
}

/** A factor that lies on a device until it, or its solver, is disposed. */
export interface ResidentFactor extends FactorFacts, Disposable {
  /** The same in host memory; copied once. */
  load(): Promise<InverseFactor>;
}

/** What `sweep` is asked for. */
export interface SweepRequest<R> {
  /** [rows, factor.size] row-major, columns in natural order. Only read. */
  readonly weight: Float32Array;
  readonly rows: number;
  readonly factor: InverseFactor;
  /** What becomes of each column: a quantizer, a mask, anything that settles values one column at a time. */
  readonly rule: ColumnRule<R>;
  /** Columns after which errors are propagated to all later ones at once; changes speed, not results. 128 by default. */
  readonly blockSize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface SweepResult<R> {
  /** What the rule made of the columns. */
  readonly result: R;
  /** Σ e² over the matrix, e = (w − ŵ) / U_ii; equals tr(Δ·H·Δᵀ) for the change Δ of the weights and the damped H. */
  readonly loss: number;
  /** Σ e² of each row. */
  readonly rowLosses: Float64Array;
}

/** Solving where Gram matrices and weights lie: factors stay on the device, and weights go there as they are stored. */
export interface ResidentSolver {
  /**
   * The caller disposes the factor.
   * @param request with `gram` float32 [size, size] on the solver's backend; undefined when it cannot be factorized there
   * @throws PARE_STATISTIC_NOT_FINITE, PARE_FACTORIZATION_FAILED, PARE_ABORTED
   */
  factorize(request: Omit<FactorizeRequest, 'gram'> & { readonly gram: DeviceTensor }): Promise<ResidentFactor | undefined>;
  /** @param request with `weight` of any float type in host memory @throws PARE_WEIGHT_NOT_FINITE, PARE_SCALE_OVERFLOW, PARE_MATRIX_TOO_LARGE, PARE_ABORTED */
  sweep<R>(request: Omit<SweepRequest<R>, 'weight' | 'factor'> & { readonly weight: HostTensor; readonly factor: ResidentFactor }): Promise<SweepResult<R>>;
}

/**
 * Second-order column sweeps, the part that GPTQ, SparseGPT and OWQ share. Calls are queued: a solver does one thing at a time.
 * Results do not depend on the number of threads.
 */
export interface ColumnSolver {
  /** @throws PARE_STATISTIC_NOT_FINITE, PARE_FACTORIZATION_FAILED, PARE_MATRIX_TOO_LARGE, PARE_ABORTED */
  factorize(request: FactorizeRequest): Promise<InverseFactor>;
  /** @throws PARE_WEIGHT_NOT_FINITE, PARE_SCALE_OVERFLOW, PARE_MATRIX_TOO_LARGE, PARE_ABORTED */
  sweep<R>(request: SweepRequest<R>): Promise<SweepResult<R>>;
  /** The same on a device; absent where tensors lie in host memory anyway. */
  readonly resident?: ResidentSolver | undefined;
  /** Ends worker threads and lets memory go. */
  dispose(): Promise<void>;
}

/** The column solver of a backend. */
export const columnSolver: CapabilityRef<ColumnSolver> = capabilityRef<ColumnSolver>('pare.column-solver');
