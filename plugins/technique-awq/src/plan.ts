import { dtypeBits, elementCount, type ModulePlan, type TargetModule } from '@pare/core';
import { groupSizeProblem, quantizedBits, resolveScaleType, resolveScheme } from '@pare/weights';
import type { AwqOptions } from './options.js';

/** Why a group size does not fit a module, with those that do. */
export function checkGroupSize({ info, options }: TargetModule<AwqOptions>): string | undefined {
  return groupSizeProblem(options.groupSize, info.shape[1]);
}

/** Stored bits, operations and memory of a target. */
export function planModule({ info, options }: TargetModule<AwqOptions>): ModulePlan {
  const weights = elementCount(info.shape);
  const columns = info.shape[1];
  const scheme = resolveScheme(options, columns);
  const result = options.quantize
    ? {
        produces: 'quantized' as const,
        storedBits: quantizedBits(info.shape, scheme, resolveScaleType(options.scaleType, info.dtype)),
        bits: scheme.bits,
        groupSize: scheme.groupSize,
        symmetric: scheme.symmetric,
        groupIndex: false,
      }
    : { produces: 'dense' as const, storedBits: weights * dtypeBits(info.dtype) };
  // Judging an exponent takes a product of the weights with the tokens of the trials, or with the Gram matrix.
  const perTrial = 2 * weights * (options.objective === 'halves' ? Math.min(options.trialTokens, columns) : columns);
  const clipping = options.quantize && options.clipSearch ? 10 * 2 * weights * scheme.groupSize : 0;
  return {
    module: info.name,
    ...result,
    flops: options.gridPoints * perTrial + clipping,
    // The Gram matrix; the weight as it is, and an error or a trial weight here and on the device, with the product of it.
    workingBytes: 4 * columns ** 2 + weights * (dtypeBits(info.dtype) / 8 + 4 + 4 * 4),
  };
}
