import { elementCount, type HostTensor } from '@pare/core';
import { fail, input, normalizeAxis, numberAttribute, shapeText, typeAttribute, wantsOutput, type Call, type Kernel } from './kernel.js';
import { aroundAxis, broadcastIndex, broadcastShapes } from './shape.js';
import { allocateNumbers, fromNumbers, isFloat, numbers, type Numbers } from './values.js';

/* Operators that rescale by statistics of their input. Statistics accumulate in float64. */

/**
 * log Σ exp along [outer, size, inner]'s middle axis, with the maximum taken out first so that nothing overflows:
 * log Σⱼ e^(xⱼ) = m + log Σⱼ e^(xⱼ−m).
 */
export function writeSoftmax(x: Numbers, outer: number, size: number, inner: number, logarithm: boolean, out: Numbers): void {
  for (let o = 0; o < outer; o++) {
    for (let n = 0; n < inner; n++) {
      const base = o * size * inner + n;
      let maximum = -Infinity;
      for (let i = 0; i < size; i++) maximum = Math.max(maximum, x[base + i * inner]!);
      let sum = 0;
      for (let i = 0; i < size; i++) sum += Math.exp(x[base + i * inner]! - maximum);
      const logSum = Math.log(sum);
      for (let i = 0; i < size; i++) {
        const shifted = x[base + i * inner]! - maximum;
        out[base + i * inner] = logarithm ? shifted - logSum : Math.exp(shifted) / sum;
      }
    }
  }
}

/** e^(xᵢ) / Σⱼ e^(xⱼ), or its logarithm. Before opset 13 the axis (1 by default) starts the group of axes that are normalised together. */
const softmax: Kernel = (call) => {
  const x = input(call, 0);
  const old = call.opset < 13;
  const rank = x.shape.length;
  const axis = rank === 0 ? 0 : normalizeAxis(call, numberAttribute(call, 'axis', old ? 1 : -1), rank);
  const { outer, size, inner } = old
    ? { outer: elementCount(x.shape.slice(0, axis)), size: elementCount(x.shape.slice(axis)), inner: 1 }
    : aroundAxis(x.shape, axis);
  const result = allocateNumbers(x.dtype, elementCount(x.shape));
  writeSoftmax(numbers(x), outer, size, inner, call.node.operator === 'LogSoftmax', result);
  return [fromNumbers(x.dtype, x.shape, result)];
};

function parameter(
  call: Call,
  tensor: HostTensor | undefined,
  shape: readonly number[],
  what: string,
): { values: Numbers; from: Int32Array | undefined } | undefined {
  if (tensor === undefined) return undefined;
  if (broadcastShapes([tensor.shape, shape])?.join() !== shape.join())
    fail(call, `${what} ${shapeText(tensor.shape)} does not broadcast to ${shapeText(shape)}`);
  return { values: numbers(tensor), from: broadcastIndex(tensor.shape, shape) };
}

/** Normalises the axes from `axis` on: y = (x − mean) / √(variance + ε) · scale + bias. */
const layerNormalization: Kernel = (call) => {
  const x = input(call, 0);
  const axis = normalizeAxis(call, numberAttribute(call, 'axis', -1), x.shape.length);
  const epsilon = numberAttribute(call, 'epsilon', 1e-5);
  const outer = elementCount(x.shape.slice(0, axis));
  const inner = x.shape.slice(axis);
  const size = elementCount(inner);
  const scale = parameter(call, input(call, 1), inner, 'scale')!;
  const bias = parameter(call, call.inputs[2], inner, 'bias');
  const source = numbers(x);
  const result = allocateNumbers(x.dtype, source.length);
  const means = new Float64Array(outer);
  const inverses = new Float64Array(outer);
  for (let row = 0; row < outer; row++) {
    const base = row * size;
    let sum = 0;
    for (let i = 0; i < size; i++) sum += source[base + i]!;
    const mean = sum / size;
    let squares = 0;
    for (let i = 0; i < size; i++) squares += (source[base + i]! - mean) ** 2;
    const inverse = 1 / Math.sqrt(squares / size + epsilon);
    for (let i = 0; i < size; i++) {
      const normal = (source[base + i]! - mean) * inverse * scale.values[scale.from?.[i] ?? i]!;
      result[base + i] = bias === undefined ? normal : normal + bias.values[bias.from?.[i] ?? i]!;
    }
    means[row] = mean;
    inverses[row] = inverse;
  }
  const shape = [...x.shape.slice(0, axis), ...inner.map(() => 1)];
  const stash = typeAttribute(call, 'stash_type') ?? 'float32';
  return [fromNumbers(x.dtype, x.shape, result), fromNumbers(stash, shape, means), fromNumbers(stash, shape, inverses)];
};

/** Root-mean-square normalisation (arXiv 1910.07467): y = x / √(mean(x²) + ε) · scale, in the scale's type. */
const rmsNormalization: Kernel = (call) => {
  const x = input(call, 0);
  const axis = normalizeAxis(call, numberAttribute(call, 'axis', -1), x.shape.length);
  const epsilon = numberAttribute(call, 'epsilon', 1e-5);
  const outer = elementCount(x.shape.slice(0, axis));
  const inner = x.shape.slice(axis);
  const size = elementCount(inner);
  const { dtype } = input(call, 1);
  const scale = parameter(call, input(call, 1), inner, 'scale')!;
  const source = numbers(x);
  const result = allocateNumbers(dtype, source.length);
  const inverses = new Float64Array(outer);
  for (let row = 0; row < outer; row++) {
    const base = row * size;
    let squares = 0;
    for (let i = 0; i < size; i++) squares += source[base + i]! ** 2;
    const inverse = 1 / Math.sqrt(squares / size + epsilon);
    for (let i = 0; i < size; i++) result[base + i] = source[base + i]! * inverse * scale.values[scale.from?.[i] ?? i]!;
    inverses[row] = inverse;
  }
  const shape = [...x.shape.slice(0, axis), ...inner.map(() => 1)];
  return [fromNumbers(dtype, x.shape, result), fromNumbers(typeAttribute(call, 'stash_type') ?? 'float32', shape, inverses)];
};

/**
 * y = (x − mean) / √(variance + ε) · scale + bias per channel (axis 1). In training mode mean and variance are the batch's, and the
 * running ones come back as running · momentum + batch · (1 − momentum).
 */
const batchNormalization: Kernel = (call) => {
  const x = input(call, 0);
  const scale = numbers(input(call, 1));
  const bias = numbers(input(call, 2));
  const runningMean = input(call, 3);
  const runningVariance = input(call, 4);
  const epsilon = numberAttribute(call, 'epsilon', 1e-5);
  const momentum = numberAttribute(call, 'momentum', 0.9);
  const training = numberAttribute(call, 'training_mode', 0) !== 0;
  const { outer, size, inner } = x.shape.length > 1 ? aroundAxis(x.shape, 1) : { outer: elementCount(x.shape), size: 1, inner: 1 };
  if (scale.length !== size) fail(call, `scale has ${String(scale.length)} channels, the input ${String(size)}`);
  const source = numbers(x);
  const result = allocateNumbers(x.dtype, source.length);
  const means = Float64Array.from(numbers(runningMean));
  const variances = Float64Array.from(numbers(runningVariance));
  for (let channel = 0; channel < size; channel++) {
    let mean = means[channel]!;
    let variance = variances[channel]!;
    if (training) {
      let sum = 0;
      for (let o = 0; o < outer; o++) for (let n = 0; n < inner; n++) sum += source[(o * size + channel) * inner + n]!;
      mean = sum / (outer * inner);
      let squares = 0;
      for (let o = 0; o < outer; o++) for (let n = 0; n < inner; n++) squares += (source[(o * size + channel) * inner + n]! - mean) ** 2;
      variance = squares / (outer * inner);
      means[channel] = means[channel]! * momentum + mean * (1 - momentum);
      variances[channel] = variances[channel]! * momentum + variance * (1 - momentum);
    }
    const factor = scale[channel]! / Math.sqrt(variance + epsilon);
    for (let o = 0; o < outer; o++) {
      for (let n = 0; n < inner; n++) {
        const at = (o * size + channel) * inner + n;
        result[at] = (source[at]! - mean) * factor + bias[channel]!;
      }
    }
  }
  const y = fromNumbers(x.dtype, x.shape, result);
  if (!training || !wantsOutput(call, 1)) return [y];
  return [y, fromNumbers(runningMean.dtype, runningMean.shape, means), fromNumbers(runningVariance.dtype, runningVariance.shape, variances)];
};

const floatsOnly =
  (kernel: Kernel): Kernel =>
  (call) => {
    const x = input(call, 0);
    return isFloat(x.dtype) ? kernel(call) : fail(call, `${call.node.operator} of ${x.dtype} is not defined`);
  };

export const normalisation: readonly (readonly [string, Kernel])[] = [
  ['::Softmax', floatsOnly(softmax)],
  ['::LogSoftmax', floatsOnly(softmax)],
  ['::LayerNormalization', floatsOnly(layerNormalization)],
  // ONNX Runtime registers this contrib operator in ONNX's own domain; some exporters write com.microsoft.
  ['::SimplifiedLayerNormalization', floatsOnly(rmsNormalization)],
  ['com.microsoft::SimplifiedLayerNormalization', floatsOnly(rmsNormalization)],
  ['::BatchNormalization', floatsOnly(batchNormalization)],
];
