import { pareError } from '@pare/core';
import type { FactorizeRequest } from './contract.js';

/** What is settled about a Hessian before it is factorized. */
export interface HessianPlan {
  /** Undefined for the natural order. */
  readonly order: Int32Array | undefined;
  readonly dead: Uint8Array;
  /** diag H, 1 for dead columns. */
  readonly diagonal: Float64Array;
  readonly meanDiagonal: number;
}

/**
 * Diagonal, dead columns (diag H = 0, set to 1) and visiting order.
 * @throws PARE_STATISTIC_NOT_FINITE, RangeError when sizes do not fit
 */
export function planHessian(request: FactorizeRequest): HessianPlan {
  const { gram, size } = request;
  if (gram.length !== size * size) throw new RangeError(`a Gram matrix of ${String(size)} inputs has ${String(size * size)} entries, got ${String(gram.length)}`);
  assertFinite(gram, size);
  return planDiagonal(request, Float64Array.from({ length: size }, (_, column) => gram[column * (size + 1)]!));
}

/** The same from the diagonal of the Gram matrix [size] alone, where the matrix is elsewhere. */
export function planDiagonal(request: Pick<FactorizeRequest, 'size' | 'scale' | 'order' | 'actOrder'>, gramDiagonal: Float64Array | Float32Array): HessianPlan {
  const { size, scale = 1 } = request;
  const diagonal = new Float64Array(size);
  const dead = new Uint8Array(size);
  let sum = 0;
  for (let column = 0; column < size; column++) {
    const value = gramDiagonal[column]! * scale;
    if (value === 0) dead[column] = 1;
    diagonal[column] = value === 0 ? 1 : value;
    sum += diagonal[column]!;
  }
  return { order: visitingOrder(request, diagonal), dead, diagonal, meanDiagonal: sum / size };
}

function visitingOrder({ order, actOrder, size }: Pick<FactorizeRequest, 'size' | 'order' | 'actOrder'>, diagonal: Float64Array): Int32Array | undefined {
  if (order !== undefined) {
    const seen = new Set(order);
    if (order.length !== size || seen.size !== size || order.some((column) => column < 0 || column >= size)) {
      throw new RangeError(`a visiting order names each of the ${String(size)} columns once`);
    }
    return order;
  }
  if (!actOrder) return undefined;
  return Int32Array.from({ length: size }, (_, column) => column).sort((a, b) => diagonal[b]! - diagonal[a]! || a - b);
}

function assertFinite(gram: Float32Array | Float64Array, size: number): void {
  let check = 0;
  for (const value of gram) check += value * 0;
  if (check === 0) return;
  throw gramNotFinite(gram, size);
}

/** The error that names the first entry of a Gram matrix that is not finite. */
export function gramNotFinite(gram: Float32Array | Float64Array, size: number): Error {
  const index = gram.findIndex((value: number) => !Number.isFinite(value));
  return pareError('PARE_STATISTIC_NOT_FINITE', {
    statistic: 'Gram matrix of the inputs',
    row: Math.floor(index / size),
    column: index % size,
    value: String(gram[index]),
  });
}

/**
 * Writes the lower triangle of J·(H + damping·mean(diag H)·I)·J in visiting order, J the reversal, with rows `stride` entries apart.
 * Kernels and reference read the same numbers from here.
 */
export function loadReversed(request: FactorizeRequest, plan: HessianPlan, damping: number, into: Float64Array, stride: number): void {
  const { gram, size, scale = 1 } = request;
  const { order, diagonal } = plan;
  const shift = damping * plan.meanDiagonal;
  const reversed = Int32Array.from({ length: size }, (_, index) => (order === undefined ? size - 1 - index : order[size - 1 - index]!));
  for (let row = 0; row < size; row++) {
    const source = reversed[row]! * size;
    const target = row * stride;
    for (let column = 0; column < row; column++) into[target + column] = gram[source + reversed[column]!]! * scale;
    into[target + row] = diagonal[reversed[row]!]! + shift;
  }
}

/**
 * Calls `attempt` with growing damping until it succeeds.
 * @throws PARE_FACTORIZATION_FAILED
 */
export async function withDamping<T>(request: Pick<FactorizeRequest, 'size' | 'damping' | 'dampingIncrement'>, attempt: (damping: number) => T | undefined | Promise<T | undefined>): Promise<{ value: T; damping: number }> {
  const { damping: first, dampingIncrement, size } = request;
  for (let step = 0; ; step++) {
    const damping = first + step * dampingIncrement;
    if (step > 0 && damping >= 1) throw pareError('PARE_FACTORIZATION_FAILED', { size, damping: first + (step - 1) * dampingIncrement });
    const value = await attempt(damping);
    if (value !== undefined) return { value, damping };
    if (dampingIncrement <= 0) throw pareError('PARE_FACTORIZATION_FAILED', { size, damping });
  }
}
