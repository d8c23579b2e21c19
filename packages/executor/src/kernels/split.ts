import { dtypeBits } from '@pare/core';
import { add, less, literal, load, position, rebuild, select, size, subtract, substitute, weigh, type BufferReference, type Expression, type Load } from '../expression/expression.js';
import type { DeviceTraits } from '../program.js';
import type { GeneratedKernel } from './generated.js';

/*
 * Kernels over buffers that are larger than a device binds at once. Such an input is bound as several windows, and a load picks the one that holds its index; such an
 * output is computed window by window.
 */

/** A window of a plan's buffer, standing for a buffer of its own in an expression. */
export interface WindowReference extends BufferReference {
  readonly window: { readonly buffer: number; readonly offset: number };
}

export interface KernelPart {
  readonly kernel: GeneratedKernel;
  /** Window of the output in bytes; all of it when undefined. */
  readonly output: { readonly offset: number; readonly size: number } | undefined;
}

/** Largest window in bytes: a multiple of the alignment and of whole elements. */
function windowBytes(traits: DeviceTraits): number {
  return Math.floor(traits.maximumBinding / traits.offsetAlignment) * traits.offsetAlignment;
}

/** The kernel as parts that bind no more than the device can; undefined when its way of writing cannot be cut. */
export function splitKernel(kernel: GeneratedKernel, output: BufferReference, traits: DeviceTraits): readonly KernelPart[] | undefined {
  const limit = windowBytes(traits);
  const windowed = new Map<Expression, Expression>();
  const narrowLoads = (expression: Expression): Expression => rewriteLoads(expression, limit, windowed);
  if (output.bytes <= limit) {
    switch (kernel.kind) {
      case 'map':
        return [{ kernel: { ...kernel, value: narrowLoads(kernel.value) }, output: undefined }];
      case 'reduce':
        return [{ kernel: { ...kernel, body: narrowLoads(kernel.body) }, output: undefined }];
      case 'lines':
        return [{ kernel: { ...kernel, target: narrowLoads(kernel.target), value: narrowLoads(kernel.value) }, output: undefined }];
    }
  }
  if (kernel.kind === 'lines') return undefined;
  const bits = dtypeBits(kernel.dtype);
  const perWindow = (limit * 8) / bits;
  const parts: KernelPart[] = [];
  for (let start = 0; start < kernel.count; start += perWindow) {
    const count = Math.min(perWindow, kernel.count - start);
    const shifted = (expression: Expression): Expression => narrowLoads(start === 0 ? expression : substitute(expression, position, add(position, size(start))));
    const window = { offset: (start * bits) / 8, size: Math.ceil((count * bits) / 32) * 4 };
    parts.push({
      kernel: kernel.kind === 'map' ? { ...kernel, count, value: shifted(kernel.value) } : { ...kernel, count, body: shifted(kernel.body) },
      output: window,
    });
  }
  return parts;
}

/** Window references are shared among the loads of one buffer, so that each is bound once. */
const windowReferences = new WeakMap<BufferReference, readonly WindowReference[]>();
let windowIds = -1;

function windowsOf(buffer: BufferReference, limit: number): readonly WindowReference[] {
  let windows = windowReferences.get(buffer);
  if (windows?.[0]?.bytes !== limit) {
    windows = Array.from({ length: Math.ceil(buffer.bytes / limit) }, (_, index) => ({
      // Ids of windows are negative: plans number their buffers from 0.
      id: windowIds--,
      bytes: Math.min(limit, buffer.bytes - index * limit),
      window: { buffer: buffer.id, offset: index * limit },
    }));
    windowReferences.set(buffer, windows);
  }
  return windows;
}

function rewriteLoads(expression: Expression, limit: number, done: Map<Expression, Expression>): Expression {
  if (weigh(expression).buffers.every(({ bytes }) => bytes <= limit)) return expression;
  const visit = (node: Expression): Expression => {
    const known = done.get(node);
    if (known !== undefined) return known;
    const result = rebuild(node, visit);
    const windowed = result.kind === 'load' ? windowedLoad(result, limit) : result;
    done.set(node, windowed);
    return windowed;
  };
  return visit(expression);
}

function windowedLoad({ buffer, dtype, index }: Load, limit: number): Expression {
  if (buffer.bytes <= limit) return load(buffer, dtype, index);
  const perWindow = (limit * 8) / dtypeBits(dtype);
  const windows = windowsOf(buffer, limit);
  return windows.reduceRight<Expression>(
    (rest, window, number) => {
      const value = load(window, dtype, subtract(index, size(number * perWindow)));
      return number === windows.length - 1 ? value : select(less(index, size((number + 1) * perWindow)), value, rest);
    },
    literal('i32', 0),
  );
}

export function isWindow(buffer: BufferReference): buffer is WindowReference {
  return 'window' in buffer;
}
