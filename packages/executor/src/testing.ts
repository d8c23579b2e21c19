import type { DeviceInfo } from '@pare/core';
import type { DeviceBuffer, KernelDevice, KernelLayout, Launch, PreparedKernel } from './device.js';
import type { GeneratedKernel, KernelLanguage } from './kernels/generated.js';
import { weigh } from './expression/expression.js';
import type { DeviceTraits, Program } from './program.js';
import type { RoutineTable } from './routines.js';

/* What the executor's own tests run on: a language that keeps kernels as they are, and a device that only counts. */

export const testTraits: DeviceTraits = {
  language: 'none',
  maximumWorkgroups: 65_535,
  maximumInvocations: 256,
  workgroupMemory: 16_384,
  maximumBinding: 2 ** 27,
  offsetAlignment: 256,
  maximumOperands: 8,
  subgroupSize: 0,
  float16: false,
};

/** Remembers every kernel that it is asked to print. */
export function recordingLanguage(): KernelLanguage & { readonly kernels: GeneratedKernel[] } {
  const kernels: GeneratedKernel[] = [];
  return {
    kernels,
    print(kernel) {
      kernels.push(kernel);
      const expressions = kernel.kind === 'map' ? [kernel.value] : kernel.kind === 'reduce' ? [kernel.body] : [kernel.target, kernel.value];
      const inputs = [...new Map(expressions.flatMap((expression) => weigh(expression).buffers).map((buffer) => [buffer.id, buffer])).values()];
      return { source: { name: kernel.name, code: kernel.name, entry: 'main', constants: {} }, inputs, uniforms: undefined, workgroups: [1, 1, 1] };
    },
  };
}

/** A program of one dispatch that names its operands. */
function single(name: string, reads: readonly string[], writes: readonly string[]): Program {
  return {
    temporaries: [],
    dispatches: [
      {
        kernel: { name, code: name, entry: 'main', constants: {} },
        operands: [...reads.map((buffer) => ({ buffer, access: 'read' }) as const), ...writes.map((buffer) => ({ buffer, access: 'write' }) as const)],
        workgroups: [1, 1, 1],
      },
    ],
  };
}

/** Routines that remember their requests. */
export function recordingRoutines(): RoutineTable & { readonly requests: { readonly name: string; readonly request: unknown }[] } {
  const requests: { name: string; request: unknown }[] = [];
  const routine =
    <R>(name: string, operands: (request: R) => { reads: readonly string[]; writes: readonly string[] }) =>
    (request: R): Program => {
      requests.push({ name, request });
      const { reads, writes } = operands(request);
      return single(name, reads, writes);
    };
  return {
    requests,
    matMul: routine('matMul', ({ addend }) => ({ reads: addend === undefined ? ['a', 'b'] : ['a', 'b', 'c'], writes: ['y'] })),
    softmax: routine('softmax', () => ({ reads: ['x'], writes: ['y'] })),
    normalization: routine('normalization', ({ scale, bias }) => ({ reads: ['x', ...(scale ? ['scale'] : []), ...(bias ? ['bias'] : [])], writes: ['y'] })),
    attention: routine('attention', ({ mask }) => ({ reads: mask === undefined ? ['q', 'k', 'v'] : ['q', 'k', 'v', 'mask'], writes: ['y'] })),
  };
}

/** A device whose buffers hold what is uploaded and whose kernels do nothing. */
export class CountingDevice implements KernelDevice {
  readonly info: DeviceInfo = { name: 'counting', memoryBytes: undefined, parallelism: 1 };
  readonly traits: DeviceTraits;
  readonly launches: Launch[] = [];
  live = 0;
  created = 0;
  compiled = 0;

  constructor(traits: Partial<DeviceTraits> = {}) {
    this.traits = { ...testTraits, ...traits };
  }

  createBuffer(bytes: number): DeviceBuffer {
    this.live++;
    this.created++;
    return { bytes };
  }

  destroyBuffer(): void {
    this.live--;
  }

  clear(): void {
    // Contents are not kept.
  }

  upload(): void {
    // Contents are not kept.
  }

  download(_buffer: DeviceBuffer, bytes: number): Promise<ArrayBuffer> {
    return Promise.resolve(new ArrayBuffer(bytes));
  }

  prepare(layouts: readonly KernelLayout[]): Promise<readonly PreparedKernel[]> {
    this.compiled += layouts.length;
    return Promise.resolve(layouts.map(({ kernel: { name } }) => ({ name })));
  }

  submit(launches: readonly Launch[]): void {
    this.launches.push(...launches);
  }

  idle(): Promise<void> {
    return Promise.resolve();
  }

  settle(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
