import { sampleKernels } from '@pare/conformance';
import type { DeviceTraits } from '@pare/executor';
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

describe('printed kernels', () => {
  it('are equal whatever their counters are called, so that they share a pipeline', () => {
    const texts = (name: string): string[] => sampleKernels(name).map((kernel) => wgsl.print(kernel, traits).source.code);
    expect(texts('loop1041')).toEqual(texts('loop3'));
  });

  it('are equal for all sizes', () => {
    const [map] = sampleKernels('loop1');
    const printed = [30, 31_000].map((count) => wgsl.print({ ...map, count }, traits));
    expect(printed[0]!.source.code).toBe(printed[1]!.source.code);
    expect(printed[0]!.uniforms).not.toEqual(printed[1]!.uniforms);
  });
});
