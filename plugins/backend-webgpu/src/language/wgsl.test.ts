import type { DeviceTraits, Expression, LineKernel, MapKernel, ReduceKernel, Variable } from '@pare/executor';
import { describe, expect, it } from 'vitest';
import { wgsl } from './wgsl.js';

const traits: DeviceTraits = {
  language: 'WGSL',
  maximumWorkgroups: 65_535,
  maximumInvocations: 256,
  workgroupMemory: 16_384,
  maximumBinding: 2 ** 27,
  offsetAlignment: 256,
  maximumOperands: 8,
  subgroupSize: 0,
  float16: false,
};

const buffer = { id: 4, bytes: 4096 };
const loadAt = (index: Expression): Expression => ({ kind: 'load', type: 'f32', buffer, dtype: 'float32', index });
const position: Variable = { kind: 'variable', type: 'i32', name: 'index' };

/** The same three kernels, with a counter of this name. */
function kernels(name: string): readonly [MapKernel, ReduceKernel, LineKernel] {
  const variable: Variable = { kind: 'variable', type: 'i32', name };
  const extent: Expression = { kind: 'size', type: 'i32', value: 12 };
  const at: Expression = { kind: 'binary', type: 'i32', operator: 'add', a: { kind: 'binary', type: 'i32', operator: 'multiply', a: position, b: extent }, b: variable };
  const sum: Expression = { kind: 'loop', type: 'f32', reduction: 'sum', variable, extent, body: loadAt(at) };
  return [
    { kind: 'map', name: 'sums', dtype: 'float32', count: 30, value: sum },
    { kind: 'reduce', name: 'sums', dtype: 'float32', count: 30, extent: 12, reduction: 'sum', variable, body: loadAt(at) },
    { kind: 'lines', name: 'running', dtype: 'float32', count: 30, extent: 12, variable, mode: 'scan', reduction: 'sum', exclusive: false, target: at, value: loadAt(at) },
  ];
}

describe('printed kernels', () => {
  it('are equal whatever their counters are called, so that they share a pipeline', () => {
    const texts = (name: string): string[] => kernels(name).map((kernel) => wgsl.print(kernel, traits).source.code);
    expect(texts('loop1041')).toEqual(texts('loop3'));
  });

  it('are equal for all sizes', () => {
    const [map] = kernels('loop1');
    const printed = [30, 31_000].map((count) => wgsl.print({ ...map, count }, traits));
    expect(printed[0]!.source.code).toBe(printed[1]!.source.code);
    expect(printed[0]!.uniforms).not.toEqual(printed[1]!.uniforms);
  });
});
