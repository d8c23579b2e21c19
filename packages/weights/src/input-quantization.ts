import { pareError, type InputQuantization, type InputScheme, type QuantizedWeight, type WeightForm } from '@pare/core';
import { roundToStorage, smallestPositive } from './rounding.js';
import type { ScaleType } from './scheme.js';
import { quantizedPart } from './sparse/sparse-weight.js';

/** Rows of inputs each with a scale of its own, found while the model runs. */
export const dynamicTokenInput: InputQuantization = { bits: 8, symmetric: true, granularity: 'token', dynamic: true };

/** What is known of a static grid around zero before its scale is. */
export const staticTensorScheme: InputScheme = { bits: 8, symmetric: true, granularity: 'tensor', dynamic: false };

/** Least value that a row's max|x| counts as: a row of zeros has a scale, too (arXiv 2211.10438, reference code). */
export const leastAbsMax = 1e-5;

/** Largest code of a grid around zero. */
export const largestInputCode = 127;

/**
 * One scale for all inputs, max|x| / 127 over calibration data, rounded to the type that it will be stored in. Inputs beyond are cut off.
 * @throws PARE_SCALE_OVERFLOW
 */
export function staticTensorInput(absMax: number, scaleType: ScaleType): InputQuantization {
  const exact = Math.max(absMax, leastAbsMax) / largestInputCode;
  const scale = roundToStorage(exact, scaleType);
  if (scale === Infinity) throw pareError('PARE_SCALE_OVERFLOW', { scale: exact, scaleType });
  return { ...staticTensorScheme, scale: scale === 0 ? smallestPositive(scaleType) : scale };
}

/** A quantized matrix whose layer rounds its inputs; the matrix itself where it does not. */
export function withInput(form: QuantizedWeight, input: InputQuantization | undefined): QuantizedWeight {
  return input === undefined ? form : { ...form, input };
}

/** How a weight's layer rounds its inputs; undefined when they stay floating point. */
export function inputOf(form: WeightForm): InputQuantization | undefined {
  return quantizedPart(form)?.input;
}

/** The same without its numbers, as plans and `ModuleInfo` have it. */
export function inputSchemeOf(form: WeightForm): InputScheme | undefined {
  const input = inputOf(form);
  if (input === undefined) return undefined;
  const { bits, symmetric, granularity, dynamic } = input;
  return { bits, symmetric, granularity, dynamic };
}

/** Why inputs cannot be rounded so, or undefined when they can. */
export function inputProblem({ bits, symmetric, granularity, dynamic, scale, zero }: InputQuantization): string | undefined {
  if ((bits as number) !== 8) return `its inputs are rounded to ${String(bits)} bits; 8 are possible`;
  if (granularity === 'token' && dynamic) {
    if (!symmetric) return 'its inputs are rounded a token at a time with zero points; only grids around zero are possible';
    return scale === undefined && zero === undefined ? undefined : 'its inputs are rounded dynamically and have a static scale or zero point';
  }
  if (granularity !== 'tensor' || dynamic) return `its inputs are rounded ${dynamic ? 'dynamically' : 'statically'} by ${granularity}; "token" is dynamic and "tensor" static`;
  if (scale === undefined || !Number.isFinite(scale) || scale <= 0) return `the scale of its inputs is ${String(scale)}, not positive`;
  if (symmetric) return zero === undefined ? undefined : 'its inputs are rounded symmetrically and have a zero point';
  return zero !== undefined && Number.isInteger(zero) && zero >= -128 && zero <= 127 ? undefined : `the zero point of its inputs is ${String(zero)}, not −128 to 127`;
}
