import type { Expression, LineKernel, MapKernel, ReduceKernel, Variable } from '@pare/executor';

/* Kernels that every kernel language is tested with. */

const buffer = { id: 4, bytes: 4096 };
const loadAt = (index: Expression): Expression => ({ kind: 'load', type: 'f32', buffer, dtype: 'float32', index });
const position: Variable = { kind: 'variable', type: 'i32', name: 'index' };

/** A kernel of each shape: sums of lines of 12 elements, and running sums, with a loop counter of this name. */
export function sampleKernels(name: string): readonly [MapKernel, ReduceKernel, LineKernel] {
  const variable: Variable = { kind: 'variable', type: 'i32', name };
  const extent: Expression = { kind: 'size', type: 'i32', value: 12 };
  const at: Expression = { kind: 'binary', type: 'i32', operator: 'add', a: { kind: 'binary', type: 'i32', operator: 'multiply', a: position, b: extent }, b: variable };
  const sum: Expression = { kind: 'loop', type: 'f32', reduction: 'sum', variable, extent, body: loadAt(at) };
  return [
    { kind: 'map', name: 'sums', dtype: 'float32', count: 30, value: sum },
    { kind: 'reduce', name: 'sums', dtype: 'float32', count: 30, extent: 12, reduction: 'sum', variable, body: loadAt(at) },
    { kind: 'lines', name: 'running', dtype: 'float32', count: 30, extent: 12, variable, mode: 'scan', reduction: 'sum', exclusive: false, elements: 360, target: at, value: loadAt(at) },
  ];
}
