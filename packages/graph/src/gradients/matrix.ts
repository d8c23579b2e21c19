import { type Value } from '../builder.js';
import { sameDimension } from '../types/dimension.js';
import { type GradientContext, type GradientRule } from './rule.js';
import { sizeOf } from './shapes.js';

/* Matrix products. Y = A·B: ∂A = ∂Y·Bᵀ, ∂B = Aᵀ·∂Y. */

/** The transpose of the last two axes. */
function transposed({ builder }: GradientContext, value: Value): Value {
  const rank = value.shape!.length;
  const order = Array.from({ length: rank }, (_, axis) => axis);
  return builder.transpose(value, [...order.slice(0, -2), rank - 1, rank - 2]);
}

/** ∂A, before it is summed over broadcast axes. */
function leftGradient(context: GradientContext, b: Value, g: Value): Value {
  if (g.shape!.length === 2 && b.shape!.length === 2) return context.builder.gemm(g, b, undefined, { transB: true });
  return context.builder.matmul(g, transposed(context, b));
}

/**
 * ∂B, before it is summed over other broadcast axes than the last ones: batch axes before the rows along which B is one matrix become rows of A and ∂Y, so that the sum over
 * them is part of the product. A weight's gradient is then one product of matrices.
 */
function rightGradient(context: GradientContext, a: Value, b: Value, g: Value): Value {
  const { builder } = context;
  const [aShape, bShape, gShape] = [a.shape!, b.shape!, g.shape!];
  const batch = gShape.length - 2;
  let merged = 0;
  while (merged < batch) {
    const fromEnd = -3 - merged;
    const ours = aShape.at(fromEnd);
    if ((bShape.at(fromEnd) ?? 1) !== 1 || ours === undefined || !sameDimension(ours, gShape.at(fromEnd)!)) break;
    merged++;
  }
  const fold = (value: Value): Value => {
    const lead = value.shape!.length - 2 - merged;
    return merged === 0 ? value : builder.reshape(value, [...new Array<number>(lead).fill(0), -1, sizeOf(builder, value, value.shape!.length - 1)]);
  };
  const [rows, columns] = [fold(a), fold(g)];
  if (rows.shape!.length === 2 && columns.shape!.length === 2) return builder.gemm(rows, columns, undefined, { transA: true });
  const product = builder.matmul(transposed(context, rows), columns);
  // The merged axes come back as axes of size 1 in front of the matrix.
  const rank = product.shape!.length;
  return merged === 0 ? product : builder.unsqueeze(product, Array.from({ length: merged }, (_, index) => rank - 2 + index));
}

/** Gradients of a product whose vectors became matrices. */
function productGradients(context: GradientContext, a: Value, b: Value, g: Value): [left: () => Value, right: () => Value] {
  const { builder } = context;
  const [aRank, bRank] = [context.shape(a).length, context.shape(b).length];
  const left = aRank === 1 ? builder.unsqueeze(a, [0]) : a;
  const right = bRank === 1 ? builder.unsqueeze(b, [1]) : b;
  const rows = aRank === 1 ? builder.unsqueeze(g, [bRank === 1 ? 0 : -2]) : g;
  const full = bRank === 1 ? builder.unsqueeze(rows, [-1]) : rows;
  const drop = (value: Value, axis: number): Value => {
    const extra = Array.from({ length: value.shape!.length - 2 }, (_, index) => index);
    return builder.squeeze(extra.length === 0 ? value : builder.reduceSum(value, extra), [axis]);
  };
  return [
    () => (aRank === 1 ? drop(leftGradient(context, right, full), 0) : leftGradient(context, right, full)),
    () => (bRank === 1 ? drop(rightGradient(context, left, right, full), 1) : rightGradient(context, left, right, full)),
  ];
}

const gemm: GradientRule = (context) => {
  const { builder, gradient: g } = context;
  const [a, b] = [context.input(0), context.input(1)];
  const [transA, transB] = [context.int('transA') === 1, context.int('transB') === 1];
  const alpha = context.float('alpha');
  const beta = context.float('beta');
  return [
    () => (transA ? builder.gemm(b, g, undefined, { alpha, transA: transB, transB: true }) : builder.gemm(g, b, undefined, { alpha, transB: !transB })),
    () => (transB ? builder.gemm(g, a, undefined, { alpha, transA: true, transB: transA }) : builder.gemm(a, g, undefined, { alpha, transA: !transA })),
    () => (beta === 1 ? g : builder.mul(g, beta)),
  ];
};

const fusedMatMul: GradientRule = (context) => {
  const { builder, gradient: g } = context;
  if (context.int('transBatchA') === 1 || context.int('transBatchB') === 1) context.fail('has no gradient for transposed batch axes');
  const turn = (name: string, value: Value): Value => (context.int(name) === 1 && value.shape!.length > 1 ? transposed(context, value) : value);
  const alpha = context.float('alpha');
  const scaled = alpha === 1 ? g : builder.mul(g, alpha);
  const [left, right] = productGradients(context, turn('transA', context.input(0)), turn('transB', context.input(1)), scaled);
  return [() => turn('transA', left()), () => turn('transB', right())];
};

export const matrixGradients: Readonly<Record<string, GradientRule>> = {
  '::MatMul': (context) => productGradients(context, context.input(0), context.input(1), context.gradient),
  '::Gemm': gemm,
  'com.microsoft::FusedMatMul': fusedMatMul,
};
