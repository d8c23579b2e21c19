import type { GraphBuilder, Value } from '@pare/graph';
import { coreShapes, type TrainShape } from './tensor-train-weight.js';

/**
 * Multiplies tensor trains out in a graph: cores [rows, r_(k−1), I_k, r_k] → rows [rows, columns]. From the left, P [rows, ∏ I before, r_(k−1)] times G_k [rows, r_(k−1),
 * I_k·r_k] is the next P; what lies behind `columns` was filled up with zeros and is cut off.
 */
export function decodeTrains(builder: GraphBuilder, cores: readonly Value[], shape: TrainShape, columns: number): Value {
  let prefix: Value | undefined;
  let length = 1;
  for (const [index, [left, size, right]] of coreShapes(shape).entries()) {
    const core = builder.reshape(cores[index]!, [-1, left, size * right]);
    const product = prefix === undefined ? core : builder.matmul(prefix, core);
    length *= size;
    prefix = builder.reshape(product, [-1, length, right]);
  }
  const rows = builder.reshape(prefix!, [-1, length]);
  return length === columns ? rows : builder.slice(rows, 1, 0, columns);
}

/** Rows `ids` (integers of any shape) of a matrix whose cores are given: [...ids, columns]. */
export function lookUpTrains(builder: GraphBuilder, cores: readonly Value[], shape: TrainShape, ids: Value, columns: number): Value {
  const flat = builder.reshape(ids, [-1]);
  const rows = decodeTrains(
    builder,
    cores.map((core) => builder.gather(core, flat, 0)),
    shape,
    columns,
  );
  return builder.reshape(rows, [builder.shapeOf(ids), columns]);
}
