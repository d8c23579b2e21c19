import { elementCount, hostTensor, int64Tensor, type Dimension, type DType, type HostTensor } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import { castTensor, evaluateGraph } from '@pare/operators';
import type { BackendCase, Tolerance } from '../backend-case.js';

/* Cases whose expected outputs come from the reference evaluator. */

/** What a case's recipe works with. */
export interface CaseBuilder {
  readonly graph: GraphBuilder;
  /** Declares a graph input with the tensor's type and shape, and feeds it. `shape` may name dimensions instead. */
  feed(tensor: HostTensor, shape?: readonly Dimension[]): Value;
  /** Declares a graph output; its name says in messages which part of the case it is. */
  expect(name: string, value: Value): void;
}

/** float32 sums of a few hundred terms. */
export const usual: Tolerance = { relative: 1e-4, absolute: 1e-5 };
/** float32 sums of tens of thousands of terms. */
export const longSums: Tolerance = { relative: 1e-3, absolute: 1e-2 };

export function propertyCase(name: string, title: string, recipe: (builder: CaseBuilder) => void, tolerance: Tolerance = usual): BackendCase {
  return {
    name,
    title,
    tolerance,
    build: () => {
      const graph = new GraphBuilder(name);
      const inputs: Record<string, HostTensor> = {};
      recipe({
        graph,
        feed: (tensor, shape = tensor.shape) => {
          const input = `input_${String(Object.keys(inputs).length)}`;
          inputs[input] = tensor;
          return graph.input(input, tensor.dtype, shape);
        },
        expect: (output, value) => void graph.output(value, output),
      });
      const built = graph.build();
      return { graph: built, inputs, expected: evaluateGraph(built, inputs) };
    },
  };
}

export const shapeText = (shape: readonly number[]): string => `[${shape.join(',')}]`;

/** Shapes that break indexing: scalar, empty, single, odd, empty in the middle, more elements than a 16-bit grid has groups. */
export const awkwardShapes: readonly (readonly number[])[] = [[], [0], [1], [7], [2, 0, 3], [1, 1, 1], [3, 1, 5], [70001]];

/** Repeatable values in [low, high), as a tensor of any type (mulberry32). */
export function values(shape: readonly number[], low = -2, high = 2, dtype: DType = 'float32', seed = 1): HostTensor {
  const data = new Float32Array(elementCount(shape));
  let state = seed * 0x9e3779b9;
  for (let index = 0; index < data.length; index++) {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    data[index] = low + ((mixed ^ (mixed >>> 14)) >>> 0) * ((high - low) / 4294967296);
  }
  return castTensor(hostTensor('float32', shape, data), dtype);
}

/** The given numbers as a tensor of any type. */
export function given(dtype: DType, shape: readonly number[], data: readonly number[]): HostTensor {
  return dtype === 'int64' ? int64Tensor(shape, data) : castTensor(hostTensor('float64', shape, Float64Array.from(data)), dtype);
}
