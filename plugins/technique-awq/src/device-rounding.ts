import { float32Tensor, type DeviceTensor, type Graph } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import { largestCode, symmetricZero } from '@pare/weights';
import type { DeviceGraphs } from './device-graphs.js';
import type { TrialMatrix } from './trial-matrix.js';
import type { TrialGrid } from './trial-rounding.js';

/* The rounding of `trial-rounding.ts` as graphs, in float32: values that lie between two codes to seven digits may get the other one. */

type Wanted = 'rounded' | 'error' | 'cut' | 'largest';

/** A trial matrix that lies on the device. */
export function roundOnDevice(graphs: DeviceGraphs, weight: Float32Array, columns: number, grid: TrialGrid): TrialMatrix {
  const { backend } = graphs;
  const rows = weight.length / columns;
  const stored = backend.write(float32Tensor([rows, columns], weight));
  const run = async (wanted: Wanted, inputs: Readonly<Record<string, DeviceTensor>>): Promise<DeviceTensor> =>
    (await graphs.run(`round ${wanted} ${String(rows)} ${String(columns)} ${JSON.stringify(grid)}`, () => roundingGraph(wanted, rows, columns, grid), { weight: stored, ...inputs }))['values']!;
  const scaled = async (wanted: Wanted, scales: Float64Array): Promise<DeviceTensor> => {
    using given = backend.write(float32Tensor([columns], Float32Array.from(scales)));
    return await run(wanted, { scales: given });
  };
  return {
    rounded: (scales) => scaled('rounded', scales),
    error: (scales) => scaled('error', scales),
    async cuts(scales) {
      using found = await scaled('largest', scales);
      const largest = Float64Array.from((await backend.read(found)).data as Float32Array);
      const given = backend.write(float32Tensor([columns], Float32Array.from(scales)));
      return {
        largest,
        async error(shrink) {
          using share = backend.write(float32Tensor([], Float32Array.of(shrink)));
          return await run('cut', { scales: given, share });
        },
        [Symbol.dispose]: () => given[Symbol.dispose](),
      };
    },
    [Symbol.dispose]: () => stored[Symbol.dispose](),
  };
}

function roundingGraph(wanted: Wanted, rows: number, columns: number, { bits, symmetric, groupSize }: TrialGrid): Graph {
  const builder = new GraphBuilder('awq-round');
  const most = (a: Value, b: Value | number): Value => builder.op('Max', [a, typeof b === 'number' ? builder.scalar(b) : b]);
  const least = (a: Value, b: Value | number): Value => builder.op('Min', [a, typeof b === 'number' ? builder.scalar(b) : b]);
  const grouped = (value: Value, size: number): Value => builder.reshape(value, [size, columns / groupSize, groupSize]);
  const weight = grouped(builder.input('weight', 'float32', [rows, columns]), rows);
  const scales = grouped(builder.input('scales', 'float32', [columns]), 1);
  const values = builder.mul(weight, scales);
  // With zero in the range.
  let high = most(builder.reduceMax(values, [2], true), 0);
  let low = builder.neg(most(builder.reduceMax(builder.neg(values), [2], true), 0));
  const magnitude = most(builder.neg(low), high);
  if (wanted === 'largest') {
    builder.output(builder.reshape(magnitude, [rows, columns / groupSize]), 'values');
    return builder.build();
  }
  let kept = values;
  if (wanted === 'cut') {
    const limit = builder.mul(magnitude, builder.input('share', 'float32', []));
    low = most(low, builder.neg(limit));
    high = least(high, limit);
    kept = least(most(values, low), high);
  }
  const largest = largestCode(bits);
  // As in `clippedError`: what stands halfway between two codes does so to the last bit.
  const range = symmetric ? most(builder.neg(low), high) : builder.sub(high, low);
  const whole = builder.where(builder.equal(range, 0), 1, range);
  const steps = symmetric ? largest / 2 : largest;
  const scale = builder.div(whole, steps);
  const inSteps = (value: Value): Value => builder.op('Round', [builder.mul(builder.div(value, whole), steps)]);
  const codes = inSteps(kept);
  const zero = symmetric ? undefined : least(inSteps(builder.neg(low)), largest);
  const clamped = zero === undefined ? least(most(codes, -symmetricZero(bits)), largest - symmetricZero(bits)) : least(most(codes, builder.neg(zero)), builder.sub(largest, zero));
  const rounded = builder.mul(clamped, scale);
  const result = builder.div(wanted === 'rounded' ? rounded : builder.sub(rounded, values), scales);
  builder.output(builder.reshape(result, [rows, columns]), 'values');
  return builder.build();
}
