import { throwIfAborted, type HostTensor } from '@pare/core';
import { denseFloat32 } from '@pare/weights';
import type { ColumnRule } from './column-rule.js';
import type { FactorFacts, SweepRequest, SweepResult } from './contract.js';

/** Columns settled between two products inside a block. */
const segmentColumns = 16;

/** The compensated weights of a sweep under way, in visiting order: what takes errors out of later columns. */
export interface Propagator {
  /** Copies the column at a position to `into` [rows]. */
  read(position: number, into: Float32Array): void;
  /** Puts the errors e [rows] of a settled column in its place. */
  write(position: number, errors: Float32Array): void;
  /** Columns [from, to) −= Σ over k in [first, last) of e_k · U_k, in order of k. */
  propagate(first: number, last: number, from: number, to: number): void | Promise<void>;
}

/**
 * Sweeps the columns of a matrix under any rule. Blocks and segments are cut so that what a pass wants to see is up to date: a lookahead
 * starts a segment, and one that does not fit into its block starts the next block.
 */
export async function driveSweep<R>(request: SweepRequest<R>, weight: Float32Array, propagator: Propagator): Promise<SweepResult<R>> {
  const { rows, factor, rule, blockSize = 128, signal } = request;
  const { size, upper } = factor;
  const order = factor.order ?? Int32Array.from({ length: size }, (_, column) => column);
  const pass = (rule as ColumnRule<R>).begin({ rows, size, weight, factor, order, blockSize });
  const weights = new Float32Array(rows);
  const settled = new Float32Array(rows);
  const errors = new Float32Array(rows);
  const rowLosses = new Float64Array(rows);
  for (let start = 0; start < size; ) {
    throwIfAborted(signal, 'the column sweep');
    const end = cut(start, Math.min(start + blockSize, size), (position) => position + pass.lookahead(position) > Math.min(start + blockSize, size));
    for (let from = start; from < end; ) {
      const count = pass.lookahead(from);
      if (count > 0) {
        const columns = new Float32Array(count * rows);
        for (let column = 0; column < count; column++) propagator.read(from + column, columns.subarray(column * rows, (column + 1) * rows));
        pass.observe(from, columns, count);
      }
      const to = cut(from, Math.min(from + segmentColumns, end), (position) => pass.lookahead(position) > 0);
      for (let position = from; position < to; position++) {
        await propagator.propagate(from, position, position, position + 1);
        propagator.read(position, weights);
        pass.settle(position, weights, settled);
        const pivot = upper[position * size + position]!;
        for (let row = 0; row < rows; row++) {
          const error = Math.fround(Math.fround(weights[row]! - settled[row]!) / pivot);
          errors[row] = error;
          rowLosses[row]! += error * error;
        }
        propagator.write(position, errors);
      }
      await propagator.propagate(from, to, to, end);
      from = to;
    }
    await propagator.propagate(start, end, end, size);
    start = end;
  }
  return { result: pass.finish(), loss: rowLosses.reduce((sum, loss) => sum + loss, 0), rowLosses };
}

/** The first position after `start` and before `end` at which `cutsBefore` holds, or `end`. */
function cut(start: number, end: number, cutsBefore: (position: number) => boolean): number {
  for (let position = start + 1; position < end; position++) if (cutsBefore(position)) return position;
  return end;
}

/** A weight of any float type as float32; float32 ones are not copied. */
export function weightValues(weight: HostTensor): Float32Array {
  return denseFloat32({ form: 'dense', shape: weight.shape, tensor: weight });
}

/** A copy of the weights with the columns of dead inputs set to 0. */
export function withoutDeadColumns(weight: Float32Array, rows: number, dead: Uint8Array, into: Float32Array = new Float32Array(weight.length)): Float32Array {
  into.set(weight);
  for (let column = 0; column < dead.length; column++) {
    if (dead[column] === 0) continue;
    for (let row = 0; row < rows; row++) into[row * dead.length + column] = 0;
  }
  return into;
}

/** @throws RangeError when the weight does not have rows × size entries. */
export function checkSweep(request: Pick<SweepRequest<unknown>, 'rows' | 'blockSize'> & { readonly weight: { readonly length: number }; readonly factor: FactorFacts }): void {
  const { weight, rows, factor, blockSize = 128 } = request;
  if (weight.length !== rows * factor.size) {
    throw new RangeError(`a weight of ${String(rows)} rows and ${String(factor.size)} columns has ${String(rows * factor.size)} entries, got ${String(weight.length)}`);
  }
  if (!Number.isInteger(blockSize) || blockSize < 1) throw new RangeError(`blockSize is ${String(blockSize)}; it is at least 1`);
}
