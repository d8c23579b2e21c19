import type { DType } from '@pare/core';
import type { BufferReference, Expression, Reduction, Variable } from '../expression/expression.js';
import type { DeviceTraits, KernelSource } from '../program.js';

/*
 * Kernels that are printed from expressions. Three shapes of loops cover what is no matrix product: every element by itself, one reduction an element by a whole
 * workgroup, and sequential work along lines.
 */

/** Computes `value` at every position 0 … count − 1 of the output, each by itself. */
export interface MapKernel {
  readonly kind: 'map';
  /** For messages and profiles: the operators it stands for. */
  readonly name: string;
  readonly dtype: DType;
  readonly count: number;
  /** In terms of `position`. */
  readonly value: Expression;
}

/** For each of `count` positions, combines `body` over `variable` = 0 … extent − 1 with the invocations of a workgroup. Elements are at least 32 bits wide. */
export interface ReduceKernel {
  readonly kind: 'reduce';
  readonly name: string;
  readonly dtype: DType;
  readonly count: number;
  readonly extent: number;
  readonly reduction: Reduction;
  readonly variable: Variable;
  readonly body: Expression;
}

/**
 * For each of `count` lines, one invocation goes through `variable` = 0 … extent − 1 in order and writes position `target` of the output. `scatter` combines with what
 * stands there (or replaces it); `scan` writes the running combination, without the present value when exclusive. Elements are at least 32 bits wide.
 */
export interface LineKernel {
  readonly kind: 'lines';
  readonly name: string;
  readonly dtype: DType;
  readonly count: number;
  readonly extent: number;
  readonly variable: Variable;
  readonly mode: 'scatter' | 'scan';
  readonly reduction: Reduction | 'replace';
  readonly exclusive: boolean;
  /** Elements of the output. A target outside of it writes nothing, or some element of it. */
  readonly elements: number;
  readonly target: Expression;
  readonly value: Expression;
}

export type GeneratedKernel = MapKernel | ReduceKernel | LineKernel;

/** A generated kernel in a kernel language. Binding 0 is the output, then come `inputs`, then the uniforms if there are any. */
export interface PrintedKernel {
  readonly source: KernelSource;
  readonly inputs: readonly BufferReference[];
  readonly uniforms: Uint32Array | undefined;
  readonly workgroups: readonly [number, number, number];
}

/** Prints generated kernels. */
export interface KernelLanguage {
  print(kernel: GeneratedKernel, traits: DeviceTraits): PrintedKernel;
}

/** Workgroups for `count` groups, folded over two axes where one would be too long. Kernels compute their position from both. */
export function foldWorkgroups(count: number, maximum: number): readonly [number, number, number] {
  if (count <= maximum) return [count, 1, 1];
  const y = Math.ceil(count / maximum);
  return [Math.ceil(count / y), y, 1];
}
