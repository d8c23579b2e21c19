import type { Dispatch, NormalizationRequest, Operand, Program, SoftmaxRequest } from '@pare/executor';
import { uniformWords } from '@pare/executor';
import { lanes as lanesText, normalization as normalizationText, softmax as softmaxText } from './kernels.gen.js';
import { blocks, kernel } from './kernel.js';

/* Kernels in which neighbouring invocations share a row: all of a block of 256, or a part of a warp. */

const invocations = 256;
const nothing: Program = { temporaries: [], dispatches: [] };

/** Invocations that share a row, a power of two up to 32 or 256: enough that none takes many of its elements, few enough that none idles. */
export function lanesOf(columns: number): number {
  if (columns > 1024) return invocations;
  let lanes = 4;
  while (lanes < 32 && lanes * 4 < columns) lanes *= 2;
  return lanes;
}

/** Softmax of rows; see `SoftmaxRequest`. */
export function softmax({ rows, columns, logarithm }: SoftmaxRequest): Program {
  if (rows === 0 || columns === 0) return nothing;
  const lanes = lanesOf(columns);
  const dispatch: Dispatch = {
    kernel: kernel('softmax', softmaxText, { values: { LANES: lanes }, libraries: [lanesText] }),
    operands: [
      { buffer: 'x', access: 'read' },
      { buffer: 'y', access: 'write' },
    ],
    uniforms: uniformWords([rows, columns, Number(logarithm)]),
    workgroups: blocks(rows * lanes),
  };
  return { temporaries: [], dispatches: [dispatch] };
}

/** Layer or RMS normalisation of rows; see `NormalizationRequest`. */
export function normalization({ rows, columns, epsilon, kind, scale, bias, mean, inverse }: NormalizationRequest): Program {
  if (rows === 0 || columns === 0) return nothing;
  const lanes = lanesOf(columns);
  const some = (access: Operand['access'], present: Readonly<Record<string, boolean>>): Operand[] =>
    Object.entries(present).flatMap(([buffer, wanted]) => (wanted ? [{ buffer, access }] : []));
  const dispatch: Dispatch = {
    kernel: kernel('normalization', normalizationText, {
      values: { LANES: lanes, SCALE: Number(scale), BIAS: Number(bias), MEAN: Number(mean), INVERSE: Number(inverse) },
      libraries: [lanesText],
    }),
    operands: [...some('read', { x: true, scale, bias }), ...some('write', { y: true, mean, inverse })],
    uniforms: uniformWords([rows, columns, Number(kind === 'rms'), { float: epsilon }]),
    workgroups: blocks(rows * lanes),
  };
  return { temporaries: [], dispatches: [dispatch] };
}
