import { throwIfAborted } from '@pare/core';
import type { ColumnSolver, FactorizeRequest, InverseFactor, SweepRequest, SweepResult } from './contract.js';
import { loadReversed, planHessian, withDamping } from './hessian.js';
import { cholesky } from './linear/cholesky.js';
import { checkSweep, driveSweep, withoutDeadColumns, type Propagator } from './sweep-driver.js';

/** The column solver in plain TypeScript: every loop as the formula has it. The kernels give the same bits. */
export const referenceColumnSolver: ColumnSolver = {
  factorize: factorizeReference,
  sweep: sweepReference,
  dispose: () => Promise.resolve(),
};

async function factorizeReference(request: FactorizeRequest): Promise<InverseFactor> {
  const { size, signal } = request;
  throwIfAborted(signal, 'the factorization');
  const plan = planHessian(request);
  const lower = new Float64Array(size * size);
  const { damping } = await withDamping(request, (candidate) => {
    loadReversed(request, plan, candidate, lower, size);
    return cholesky(lower, size) ? true : undefined;
  });
  return { size, order: plan.order, upper: invertReversed(lower, size), damping, dead: plan.dead, diagonal: plan.diagonal };
}

/** U = J·L⁻¹·J in float32: L·m = e for every column, rows and columns reversed. */
function invertReversed(l: Float64Array, size: number): Float32Array {
  const upper = new Float32Array(size * size);
  const m = new Float64Array(size);
  for (let column = 0; column < size; column++) {
    for (let row = column; row < size; row++) {
      let sum = row === column ? 1 : 0;
      for (let k = column; k < row; k++) sum -= l[row * size + k]! * m[k]!;
      m[row] = sum / l[row * size + row]!;
      upper[(size - 1 - row) * size + (size - 1 - column)] = m[row]!;
    }
  }
  return upper;
}

async function sweepReference<R>(request: SweepRequest<R>): Promise<SweepResult<R>> {
  checkSweep(request);
  const { rows, factor } = request;
  const weight = withoutDeadColumns(request.weight, rows, factor.dead);
  return driveSweep(request, weight, referencePropagator(weight, rows, factor));
}

/** Columns one after another, [size, rows]; float32 arithmetic. */
function referencePropagator(weight: Float32Array, rows: number, factor: InverseFactor): Propagator {
  const { size, upper, order } = factor;
  const columns = new Float32Array(size * rows);
  for (let position = 0; position < size; position++) {
    const column = order?.[position] ?? position;
    for (let row = 0; row < rows; row++) columns[position * rows + row] = weight[row * size + column]!;
  }
  return {
    read(position, into) {
      into.set(columns.subarray(position * rows, (position + 1) * rows));
    },
    write(position, errors) {
      columns.set(errors, position * rows);
    },
    propagate(first, last, from, to) {
      for (let k = first; k < last; k++) {
        for (let j = from; j < to; j++) {
          const u = upper[k * size + j]!;
          for (let row = 0; row < rows; row++) {
            columns[j * rows + row] = columns[j * rows + row]! - Math.fround(u * columns[k * rows + row]!);
          }
        }
      }
    },
  };
}
