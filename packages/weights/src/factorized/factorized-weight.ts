import type { FactorizedWeight, FactorWeight, ModulePlan, WeightForm } from '@pare/core';

/**
 * The factorized form of left [out, r] and right [r, in].
 * @throws RangeError when they have no product
 */
export function factorizedWeight(left: FactorWeight, right: FactorWeight): FactorizedWeight {
  if (left.shape[1] !== right.shape[0]) throw new RangeError(`factors [${left.shape.join(', ')}] and [${right.shape.join(', ')}] have no product`);
  return { form: 'factorized', shape: [left.shape[0]!, right.shape[1]!], left, right };
}

/** The rank from which on two factors hold as many numbers as their product [out, in], or more: out·in / (out + in). */
export function breakEvenRank([rows, columns]: readonly [number, number]): number {
  return (rows * columns) / (rows + columns);
}

/** A matrix of a form that is multiplied by itself: the form, or one of its factors. */
export interface MatrixPart {
  /** The module's name; `.left` or `.right` follows for a factor. */
  readonly name: string;
  readonly form: WeightForm;
}

/** The matrices that a module's inputs pass through: a factorized form's right factor, then its left one; any other form itself. */
export function matrixParts(module: string, form: WeightForm): readonly MatrixPart[] {
  if (form.form !== 'factorized') return [{ name: module, form }];
  return [
    { name: `${module}.right`, form: form.right },
    { name: `${module}.left`, form: form.left },
  ];
}

/** Shapes [out, in] that a plan's codes come in: the matrix itself, or both factors; undefined for a factorized result whose rank is not known yet. */
export function plannedShapes([rows, columns]: readonly [number, number], { produces, rank }: Pick<ModulePlan, 'produces' | 'rank'>): readonly (readonly [number, number])[] | undefined {
  if (produces !== 'factorized') return [[rows, columns]];
  return rank === undefined ? undefined : [[rows, rank], [rank, columns]];
}
