import type { QuantizationScheme, QuantizedWeight } from '@pare/core';
import { computeGrid, encode, groupsPerRow, resolveScheme, type Clip, type Grid, type ScaleType } from '@pare/weights';
import type { ColumnPass, ColumnRule, SweepContext } from './column-rule.js';

/** A uniform affine quantizer of columns. */
export interface SweepQuantizer {
  /** 2 to 8. */
  readonly bits: number;
  readonly symmetric: boolean;
  /** Columns that share a grid; −1 for one grid a row. Any size: groups may be longer than blocks and need not divide the row. */
  readonly groupSize: number;
  /**
   * True to take all grids from the original weights, groups in natural column order. False to take a group's grid from the compensated
   * weights when the sweep enters it, groups in visiting order. One grid a row is always taken from the original weights.
   */
  readonly staticGroups: boolean;
  readonly clip: Clip;
  /** Exponent of the clip search; 2.4 by default. */
  readonly norm?: number | undefined;
  readonly scaleType: ScaleType;
}

/** How the columns of a matrix are grouped under a quantizer. */
export interface GroupPlan {
  readonly scheme: QuantizationScheme;
  /** Groups of a row. */
  readonly groups: number;
  /** True when grids are taken from compensated weights. */
  readonly dynamic: boolean;
  /** Group of each position. */
  readonly positions: Int32Array;
  /** Group of each column when that is not floor(column / groupSize): what a reader needs to be told. */
  readonly groupIndex: Int32Array | undefined;
}

/** Groups of `size` columns visited in `order`, undefined for the natural order. */
export function planGroups(quantizer: SweepQuantizer, size: number, order: Int32Array | undefined): GroupPlan {
  const scheme = resolveScheme(quantizer, size);
  const groups = groupsPerRow(scheme, size);
  const dynamic = groups > 1 && !quantizer.staticGroups;
  const positions = new Int32Array(size);
  let groupIndex: Int32Array | undefined;
  for (let position = 0; position < size; position++) {
    const column = order?.[position] ?? position;
    positions[position] = Math.floor((dynamic ? position : column) / scheme.groupSize);
    if (dynamic && order !== undefined) {
      groupIndex ??= new Int32Array(size);
      groupIndex[column] = positions[position]!;
    }
  }
  return { scheme, groups, dynamic, positions, groupIndex };
}

/** Rounds columns to a uniform grid (GPTQ). Solvers may recognise it by `quantizer` and run it in kernels of their own. */
export interface QuantizerRule extends ColumnRule<QuantizedWeight> {
  readonly id: 'quantizer';
  readonly quantizer: SweepQuantizer;
  readonly mask: Uint8Array | undefined;
}

/**
 * The rule of a quantizer; its plain TypeScript is the reference of the solvers' kernels.
 * @param mask [rows, size], natural column order, of a matrix that was pruned: entries with 0 stay exactly zero (the zero of their grid as code), whatever the
 *   errors of earlier columns would make of them, and do not count in grids
 */
export function quantizerRule(quantizer: SweepQuantizer, mask?: Uint8Array): QuantizerRule {
  return { id: 'quantizer', quantizer, mask, begin: (context) => quantizerPass(quantizer, context, mask) };
}

/** True for the rule that `quantizerRule` makes. */
export function isQuantizerRule(rule: ColumnRule<unknown>): rule is QuantizerRule {
  return rule.id === 'quantizer' && 'quantizer' in rule;
}

/** A quantizer at work. The mask is read when columns settle, so that another pass may write it along the way. */
export function quantizerPass(quantizer: SweepQuantizer, context: SweepContext, mask: Uint8Array | undefined): ColumnPass<QuantizedWeight> {
  const { rows, size, weight, order } = context;
  const { bits, scaleType } = quantizer;
  const plan = planGroups(quantizer, size, context.factor.order);
  const { scheme, groups, dynamic } = plan;
  // [groups, rows]: a column meets one group.
  const grids = new Array<Grid>(groups * rows);
  const codes = new Uint8Array(rows * size);
  if (!dynamic) {
    for (let row = 0; row < rows; row++) {
      for (let group = 0; group < groups; group++) {
        const start = group * scheme.groupSize;
        grids[group * rows + row] = computeGrid(weight, quantizer, scaleType, row * size + start, Math.min(scheme.groupSize, size - start));
      }
    }
  }
  return {
    lookahead: (position) => (dynamic && position % scheme.groupSize === 0 ? Math.min(scheme.groupSize, size - position) : 0),
    observe(position, columns, count) {
      const group = plan.positions[position]!;
      const kept = mask === undefined ? columns : columns.map((value, index) => (mask[(index % rows) * size + order[position + Math.floor(index / rows)]!] === 0 ? 0 : value));
      for (let row = 0; row < rows; row++) grids[group * rows + row] = computeGrid(kept, quantizer, scaleType, row, count, rows);
    },
    settle(position, weights, settled) {
      const column = order[position]!;
      const first = plan.positions[position]! * rows;
      for (let row = 0; row < rows; row++) {
        const grid = grids[first + row]!;
        const code = mask?.[row * size + column] === 0 ? grid.zero : encode(weights[row]!, grid, bits);
        codes[row * size + column] = code;
        settled[row] = grid.scale * (code - grid.zero);
      }
    },
    finish() {
      const scales = new Float32Array(rows * groups);
      const zeros = quantizer.symmetric ? undefined : new Uint8Array(rows * groups);
      for (let group = 0; group < groups; group++) {
        for (let row = 0; row < rows; row++) {
          const grid = grids[group * rows + row]!;
          scales[row * groups + group] = grid.scale;
          if (zeros !== undefined) zeros[row * groups + group] = grid.zero;
        }
      }
      return { form: 'quantized', shape: [rows, size], scheme, codes, scales, scaleType, zeros, groupIndex: plan.groupIndex };
    },
  };
}
