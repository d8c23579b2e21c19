import type { QuantizedWeight, SparsityPattern } from '@pare/core';
import { pruneSmallest, selectNth } from '@pare/weights';
import type { ColumnPass, ColumnRule, SweepContext } from './column-rule.js';
import { quantizerPass, type SweepQuantizer } from './quantizer-rule.js';

/** What a pruning sweep is asked for. */
export interface SweepPruner {
  readonly pattern: SparsityPattern;
  /** Share of every block that is pruned, for the unstructured pattern: floor(rows · columns · sparsity) entries, and those that cost exactly as much as the last of them. */
  readonly sparsity: number;
  /** Rounds what is kept in the same pass, on grids of the original weights; undefined to keep values as they are compensated. */
  readonly quantizer?: SweepQuantizer | undefined;
}

/** What a pruning sweep makes of a matrix [rows, size]. */
export interface PrunedMatrix {
  /** 1 for kept entries, 0 for pruned ones, natural column order. */
  readonly mask: Uint8Array;
  /** Values, or what they were rounded to; pruned entries are zero. */
  readonly values: Float32Array | QuantizedWeight;
}

/**
 * Prunes columns and compensates (SparseGPT, Frantar and Alistarh 2023, arXiv 2301.00774). What removing an entry costs is w² / U_ii². The unstructured mask is
 * chosen once a block of the sweep, over all rows of the block; N:M masks when the sweep reaches their columns, from weights that are compensated up to there.
 * Of entries of equal cost in a group the lower column goes first; in a block they go together, as the paper's threshold has it. Solvers may recognise the rule by `pruner` and run it in kernels of their own.
 */
export interface PrunerRule extends ColumnRule<PrunedMatrix> {
  readonly id: 'pruner';
  readonly pruner: SweepPruner;
}

/** The rule of a pruner; its plain TypeScript is the reference of the solvers' kernels. */
export function prunerRule(pruner: SweepPruner): PrunerRule {
  return { id: 'pruner', pruner, begin: (context) => prunerPass(pruner, context) };
}

/** True for the rule that `prunerRule` makes. */
export function isPrunerRule(rule: ColumnRule<unknown>): rule is PrunerRule {
  return rule.id === 'pruner' && 'pruner' in rule;
}

/** The quantizer of a pruner: its grids never follow the compensated weights. */
export function prunerQuantizer({ quantizer }: SweepPruner): SweepQuantizer | undefined {
  return quantizer === undefined ? undefined : { ...quantizer, staticGroups: true };
}

/** @throws RangeError when an N:M pattern does not fit the columns, or these are visited in another order than their own. */
export function checkPruner({ pattern }: SweepPruner, size: number, order: Int32Array | undefined): void {
  if (pattern.kind === 'unstructured') return;
  if (size % pattern.group !== 0) throw new RangeError(`groups of ${String(pattern.group)} do not divide ${String(size)} columns`);
  if (order !== undefined) throw new RangeError('N:M patterns need columns in their natural order');
}

/**
 * Prunes the cheapest entries of a block.
 * @param columns [count, rows] compensated weights, column after column
 * @param pivot U_ii of each of the columns
 * @returns [rows, count]
 */
export function blockMask(rows: number, count: number, sparsity: number, weightAt: (column: number, row: number) => number, pivot: (column: number) => number): Uint8Array {
  const scores = new Float32Array(rows * count);
  for (let column = 0; column < count; column++) {
    const divisor = pivot(column);
    for (let row = 0; row < rows; row++) scores[row * count + column] = Math.abs(weightAt(column, row)) / divisor;
  }
  const pruned = Math.floor(rows * count * sparsity);
  const threshold = pruned === 0 ? -1 : selectNth(scores.slice(), pruned - 1);
  return Uint8Array.from(scores, (score) => (score > threshold ? 1 : 0));
}

function prunerPass(pruner: SweepPruner, context: SweepContext): ColumnPass<PrunedMatrix> {
  const { rows, size, order, blockSize, factor } = context;
  const { pattern, sparsity } = pruner;
  checkPruner(pruner, size, factor.order);
  const mask = new Uint8Array(rows * size);
  const quantizer = prunerQuantizer(pruner);
  const rounding = quantizer === undefined ? undefined : quantizerPass(quantizer, context, mask);
  const values = new Float32Array(rounding === undefined ? rows * size : 0);
  const pivot = (position: number): number => factor.upper[position * (size + 1)]!;
  return {
    lookahead(position) {
      if (pattern.kind === 'grouped') return position % pattern.group === 0 ? pattern.group : 0;
      return position % blockSize === 0 ? Math.min(blockSize, size - position) : 0;
    },
    observe(position, columns, count) {
      if (pattern.kind === 'unstructured') {
        const block = blockMask(rows, count, sparsity, (column, row) => columns[column * rows + row]!, (column) => pivot(position + column));
        for (let row = 0; row < rows; row++) for (let column = 0; column < count; column++) mask[row * size + order[position + column]!] = block[row * count + column]!;
        return;
      }
      const scores = new Float32Array(count);
      const group = new Uint8Array(count);
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < count; column++) scores[column] = Math.abs(columns[column * rows + row]!) / pivot(position + column);
        pruneSmallest(scores, pattern.zeros, group);
        mask.set(group, row * size + position);
      }
    },
    settle(position, weights, settled) {
      if (rounding !== undefined) return rounding.settle(position, weights, settled);
      const column = order[position]!;
      for (let row = 0; row < rows; row++) {
        const value = mask[row * size + column] === 0 ? 0 : weights[row]!;
        settled[row] = value;
        values[row * size + column] = value;
      }
    },
    finish: () => ({ mask, values: rounding?.finish() ?? values }),
  };
}
