import type { InverseFactor } from './contract.js';

/** A matrix at the start of a sweep. */
export interface SweepContext {
  readonly rows: number;
  readonly size: number;
  /** [rows, size] row-major, natural column order, dead columns 0. The solver's own copy; not to be changed. */
  readonly weight: Float32Array;
  readonly factor: InverseFactor;
  /** Column at each position, natural order included. */
  readonly order: Int32Array;
  readonly blockSize: number;
}

/**
 * One matrix in the hands of a rule. The solver visits positions 0 … size−1; for each it shows what the pass asked to see, has the column
 * settled, and takes the error out of the columns to come.
 */
export interface ColumnPass<R> {
  /**
   * How many columns from `position` on the pass wants to see, compensated for everything before `position`, before that column is settled;
   * 0 for none. A quantizer looks at a group when it starts, SparseGPT at a block (or at M columns for N:M) to choose its mask.
   */
  lookahead(position: number): number;
  /** Shows `count` columns from `position` on, [count, rows]: column after column. Valid during the call. */
  observe(position: number, columns: Float32Array, count: number): void;
  /** Settles a column: writes the final value of every row. `weights` [rows] are compensated for all columns before; both are valid during the call. */
  settle(position: number, weights: Float32Array, settled: Float32Array): void;
  /** Called after the last column. */
  finish(): R;
}

/**
 * Decides what the columns of a matrix become. Values that a rule leaves as they are (kept columns, unpruned entries) cost nothing; whatever it
 * changes is compensated by the columns after. Columns that are to be kept exactly go last in the visiting order (OWQ).
 */
export interface ColumnRule<R> {
  readonly id: string;
  begin(context: SweepContext): ColumnPass<R>;
}
