import type { InputQuantization, InputScheme, QuantizedWeight } from '@pare/core';
import { inputProblem } from '@pare/weights';
import type { PartsReader } from './parts-reader.js';

/** What of `input_activations` can be read, for messages. */
export const readableInputs = '8-bit "int" with strategy "token", dynamic and symmetric, or with strategy "tensor", static; or null';

/** The scheme that a config group's `input_activations` (compressed-tensors, `quantization/quant_args.py`) states; undefined when it is another than `readableInputs`. */
export function readInputScheme(value: Readonly<Record<string, unknown>>): InputScheme | undefined {
  const { num_bits: bits = 8, type = 'int', symmetric = true, strategy, dynamic = false } = value;
  const granularity = strategy ?? (dynamic === true ? 'token' : 'tensor');
  if (bits !== 8 || type !== 'int' || typeof symmetric !== 'boolean' || typeof dynamic !== 'boolean' || (granularity !== 'token' && granularity !== 'tensor')) return undefined;
  const scheme: InputScheme = { bits, symmetric, granularity, dynamic };
  const numbers: InputQuantization = dynamic ? scheme : { ...scheme, scale: 1, zero: symmetric ? undefined : 0 };
  return inputProblem(numbers) === undefined ? scheme : undefined;
}

/** Shapes that a single number is stored in. */
const single: readonly (readonly number[])[] = [[1], [], [1, 1]];

/**
 * The grid of a layer's inputs, to be read with its weight; undefined when inputs stay as they are. Static grids have `input_scale`, a float, and `input_zero_point`, int8, unless symmetric.
 * @throws PARE_MODEL_TENSOR_MISSING, PARE_MODEL_TENSOR_SHAPE; reading PARE_WEIGHT_NOT_FINITE, PARE_MODEL_TENSOR_SHAPE
 */
export function findInput(parts: PartsReader, scheme: InputScheme | undefined): (signal?: AbortSignal) => Promise<Pick<QuantizedWeight, 'input'>> {
  if (scheme === undefined || scheme.dynamic) return () => Promise.resolve(scheme === undefined ? {} : { input: scheme });
  parts.requireScales('input_scale', single);
  if (!scheme.symmetric) parts.require('input_zero_point', ['int8'], single);
  return async (signal) => {
    const scale = (await parts.readScales('input_scale', signal))[0]!;
    if (!(scale > 0)) throw parts.mismatch('input_scale', String(scale), 'a positive scale');
    return { input: { ...scheme, scale, ...(scheme.symmetric ? {} : { zero: Number((await parts.read('input_zero_point', signal)).data[0]) }) } };
  };
}
