import { type GraphBuilder, type Value } from '../builder.js';
import { type GradientPiece } from './rule.js';
import { sizesOf, zeros } from './shapes.js';

/**
 * The gradient of a value of which slices were taken: along each axis the slices are cut where any begins or ends, those that overlap are added, and all are joined. So
 * a value cut into runs gets its gradient in one concatenation, without a padded copy for each run.
 */
export function joinPieces(builder: GraphBuilder, pieces: readonly GradientPiece[], target: Value): Value {
  const sums = [...new Set(pieces.map(({ axis }) => axis))].map((axis) =>
    joinAlong(
      builder,
      axis,
      pieces.filter((piece) => piece.axis === axis),
      target,
    ),
  );
  return sums.reduce((left, right) => builder.add(left, right));
}

interface Run {
  readonly start: number;
  readonly end: number;
  readonly value: Value;
}

function joinAlong(builder: GraphBuilder, axis: number, pieces: readonly GradientPiece[], target: Value): Value {
  const size = target.shape![axis] as number;
  const runs = pieces.map(({ start, value }): Run => ({ start, end: start + (value.shape![axis] as number), value }));
  const bounds = [...new Set([0, size, ...runs.flatMap(({ start, end }) => [start, end])])].sort((left, right) => left - right);
  const parts: Value[] = [];
  for (const [index, start] of bounds.slice(0, -1).entries()) {
    const end = bounds[index + 1]!;
    const covering = runs.filter((run) => run.start <= start && run.end >= end);
    const slices = covering.map((run) => (run.start === start && run.end === end ? run.value : builder.slice(run.value, axis, start - run.start, end - run.start)));
    const gap = (): Value => zeros(builder, target.dtype, sizesOf(builder, target).map((length, other) => (other === axis ? end - start : length)));
    parts.push(slices.length === 0 ? gap() : slices.reduce((left, right) => builder.add(left, right)));
  }
  return parts.length === 1 ? parts[0]! : builder.concat(parts, axis);
}
