import { elementCount, hostTensor, type HostTensor } from '@pare/core';
import { choiceAttribute, commonType, fail, input, numberAttribute, numbersAttribute, shapeText, wantsOutput, type Call, type Kernel } from './kernel.js';
import { stridedIndex, strides } from './shape.js';
import { allocateNumbers, dtypeRange, elements, fromElements, fromNumbers, numbers, allocateElements } from './values.js';
import { planWindows, type Windows } from './windows.js';

/* Sliding windows over [N, C, …spatial], any number of spatial axes. */

function plannedWindows(call: Call, spatial: readonly number[], kernel: readonly number[]): Windows {
  return planWindows({
    spatial,
    kernel,
    strides: numbersAttribute(call, 'strides'),
    dilations: numbersAttribute(call, 'dilations'),
    autoPad: choiceAttribute(call, 'auto_pad', ['NOTSET', 'SAME_UPPER', 'SAME_LOWER', 'VALID'], 'NOTSET'),
    pads: numbersAttribute(call, 'pads'),
    ceilMode: numberAttribute(call, 'ceil_mode', 0) !== 0,
    fail: (problem) => fail(call, problem),
  });
}

/** Coordinates of every position of a shape, one array per axis. */
function coordinates(shape: readonly number[]): Int32Array[] {
  return shape.map((_, axis) =>
    stridedIndex(
      shape,
      shape.map((__, other) => (other === axis ? 1 : 0)),
    ),
  );
}

/**
 * Calls `visit` for every window, with the positions inside one [spatial] image that it covers (−1 in the padding) and, per window, whether a
 * covered position is within image plus padding (`padded`), which ceil mode can exceed.
 */
function forEachWindow(windows: Windows, visit: (window: number, covered: Int32Array, padded: Uint8Array) => void): void {
  const outputs = coordinates(windows.output);
  const taps = coordinates(windows.kernel);
  const own = strides(windows.input);
  const tapCount = elementCount(windows.kernel);
  const covered = new Int32Array(tapCount);
  const padded = new Uint8Array(tapCount);
  for (let window = 0; window < elementCount(windows.output); window++) {
    for (let tap = 0; tap < tapCount; tap++) {
      let at = 0;
      let inside = true;
      let within = true;
      for (let axis = 0; axis < own.length; axis++) {
        const coordinate = outputs[axis]![window]! * windows.steps[axis]! - windows.begins[axis]! + taps[axis]![tap]! * windows.dilations[axis]!;
        if (coordinate < 0 || coordinate >= windows.input[axis]!) inside = false;
        if (coordinate >= windows.input[axis]! + windows.ends[axis]!) within = false;
        at += coordinate * own[axis]!;
      }
      covered[tap] = inside ? at : -1;
      padded[tap] = within ? 1 : 0;
    }
    visit(window, covered, padded);
  }
}

function images(call: Call, x: HostTensor): { batch: number; channels: number; spatial: readonly number[]; size: number } {
  if (x.shape.length < 3) fail(call, `needs [N, C, …spatial], got ${shapeText(x.shape)}`);
  const spatial = x.shape.slice(2);
  return { batch: x.shape[0]!, channels: x.shape[1]!, spatial, size: elementCount(spatial) };
}

/** Cross-correlation: y[n, m, o] = b[m] + Σ over the group's channels c and taps t of x[n, c, o · stride − pad + t · dilation] · w[m, c, t]. */
const conv: Kernel = (call) => {
  const x = input(call, 0);
  const w = input(call, 1);
  const dtype = commonType(call, [x, w]);
  const { batch, channels, spatial, size } = images(call, x);
  const groups = numberAttribute(call, 'group', 1);
  const filters = w.shape[0]!;
  const perGroup = w.shape[1]!;
  if (perGroup * groups !== channels || filters % groups !== 0) {
    fail(call, `${shapeText(x.shape)} with filters ${shapeText(w.shape)} in ${String(groups)} groups: channels do not fit`);
  }
  const windows = plannedWindows(call, spatial, numbersAttribute(call, 'kernel_shape') ?? w.shape.slice(2));
  const source = numbers(x);
  const weight = numbers(w);
  const bias = call.inputs[2] === undefined ? undefined : numbers(call.inputs[2]);
  const outSize = elementCount(windows.output);
  const taps = elementCount(windows.kernel);
  const result = allocateNumbers(dtype, batch * filters * outSize);
  forEachWindow(windows, (window, covered) => {
    for (let n = 0; n < batch; n++) {
      for (let m = 0; m < filters; m++) {
        const firstChannel = Math.floor(m / (filters / groups)) * perGroup;
        let sum = bias?.[m] ?? 0;
        for (let c = 0; c < perGroup; c++) {
          const image = (n * channels + firstChannel + c) * size;
          const filter = (m * perGroup + c) * taps;
          for (let tap = 0; tap < taps; tap++) if (covered[tap]! >= 0) sum += source[image + covered[tap]!]! * weight[filter + tap]!;
        }
        result[(n * filters + m) * outSize + window] = sum;
      }
    }
  });
  return [fromNumbers(dtype, [batch, filters, ...windows.output], result)];
};

/** Mean of each window's elements; padding counts as zeros with count_include_pad, what ceil mode adds beyond the padding never. */
const averagePool: Kernel = (call) => {
  const x = input(call, 0);
  const { batch, channels, spatial, size } = images(call, x);
  const windows = plannedWindows(call, spatial, numbersAttribute(call, 'kernel_shape') ?? fail(call, 'attribute kernel_shape is missing'));
  const countPadding = numberAttribute(call, 'count_include_pad', 0) !== 0;
  const source = numbers(x);
  const outSize = elementCount(windows.output);
  const result = allocateNumbers(x.dtype, batch * channels * outSize);
  forEachWindow(windows, (window, covered, padded) => {
    let count = 0;
    for (const [tap, at] of covered.entries()) if (at >= 0 || (countPadding && padded[tap] === 1)) count++;
    for (let image = 0; image < batch * channels; image++) {
      let sum = 0;
      for (const at of covered) if (at >= 0) sum += source[image * size + at]!;
      result[image * outSize + window] = sum / count;
    }
  });
  return [fromNumbers(x.dtype, [batch, channels, ...windows.output], result)];
};

/** Largest element of each window and, on request, its position in the flattened input (column-major within an image for storage_order 1). */
const maxPool: Kernel = (call) => {
  const x = input(call, 0);
  const { batch, channels, spatial, size } = images(call, x);
  const windows = plannedWindows(call, spatial, numbersAttribute(call, 'kernel_shape') ?? fail(call, 'attribute kernel_shape is missing'));
  const source = numbers(x);
  const words = elements(x);
  const outSize = elementCount(windows.output);
  const count = batch * channels * outSize;
  const result = allocateElements(x.dtype, count);
  const found = new Int32Array(count);
  const [lowest] = dtypeRange(x.dtype);
  const empty = elements(fromNumbers(x.dtype, [1], Float64Array.of(lowest)))[0]!;
  forEachWindow(windows, (window, covered) => {
    for (let image = 0; image < batch * channels; image++) {
      let best = -1;
      for (const tap of covered) {
        if (tap < 0) continue;
        const value = source[image * size + tap]!;
        if (best < 0 || value > source[image * size + best]! || Number.isNaN(value)) best = tap;
      }
      const target = image * outSize + window;
      result[target] = best < 0 ? empty : words[image * size + best]!;
      found[target] = best;
    }
  });
  const shape = [batch, channels, ...windows.output];
  const y = fromElements(x.dtype, shape, result);
  if (!wantsOutput(call, 1)) return [y];
  const columnMajor = numberAttribute(call, 'storage_order', 0) !== 0;
  const perImage = columnMajor ? columnMajorPositions(spatial) : undefined;
  const indices = new BigInt64Array(count);
  for (let target = 0; target < count; target++) {
    const position = found[target]!;
    indices[target] = BigInt(Math.floor(target / outSize) * size + (perImage?.[position] ?? position));
  }
  return [y, hostTensor('int64', shape, indices)];
};

/** Column-major position of each row-major position. */
function columnMajorPositions(shape: readonly number[]): Int32Array {
  const steps: number[] = [];
  let step = 1;
  for (const dimension of shape) {
    steps.push(step);
    step *= dimension;
  }
  return stridedIndex(shape, steps);
}

const globalAveragePool: Kernel = (call) => {
  const x = input(call, 0);
  const { batch, channels, spatial, size } = images(call, x);
  const source = numbers(x);
  const result = allocateNumbers(x.dtype, batch * channels);
  for (let image = 0; image < result.length; image++) {
    let sum = 0;
    for (let index = 0; index < size; index++) sum += source[image * size + index]!;
    result[image] = sum / size;
  }
  return [fromNumbers(x.dtype, [batch, channels, ...spatial.map(() => 1)], result)];
};

export const poolingConvolution: readonly (readonly [string, Kernel])[] = [
  ['::Conv', conv],
  ['::AveragePool', averagePool],
  ['::MaxPool', maxPool],
  ['::GlobalAveragePool', globalAveragePool],
];
