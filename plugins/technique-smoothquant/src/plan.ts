import { dtypeBits, elementCount, pareError, type ModelSummary, type ModulePlan, type TargetModule } from '@pare/core';
import { findFoldSites } from '@pare/folding';
import { inputBits, inputSchemeFor, quantizedBits, resolveScaleType, resolveScheme } from '@pare/weights';
import type { SmoothquantOptions } from './options.js';
import { comesFromNorm } from './sites.js';

export function checkModule({ options }: TargetModule<SmoothquantOptions>): string | undefined {
  return options.smooth || options.quantize ? undefined : 'smooth and quantize are both false, so that nothing would be done to it; set one of them to true';
}

/**
 * Stored bits, operations and memory of each target.
 * @throws PARE_TARGET_REFUSED when there is nothing to smooth and nothing is rounded
 */
export function planModules(targets: readonly TargetModule<SmoothquantOptions>[], summary: ModelSummary): ModulePlan[] {
  if (targets.every(({ options }) => !options.quantize)) requireSites(targets, summary);
  return targets.map(planModule);
}

function planModule({ info, options }: TargetModule<SmoothquantOptions>): ModulePlan {
  const weights = elementCount(info.shape);
  // Magnitudes, scales; rounding divides, rounds, clamps and subtracts.
  const common = { module: info.name, flops: weights * (options.quantize ? 8 : 3), workingBytes: weights * (dtypeBits(info.dtype) / 8 + 4 + (options.quantize ? 1 : dtypeBits(info.dtype) / 8)) };
  if (!options.quantize) return { ...common, produces: 'dense', storedBits: weights * dtypeBits(info.dtype) };
  const scheme = resolveScheme({ bits: 8, symmetric: true, granularity: options.granularity === 'tensor' ? 'tensor' : 'group' }, info.shape[1]);
  const scaleType = resolveScaleType(options.scaleType, info.dtype);
  const input = inputSchemeFor(options.activations);
  return {
    ...common,
    produces: 'quantized',
    storedBits: quantizedBits(info.shape, scheme, scaleType) + inputBits(input, scaleType),
    bits: scheme.bits,
    groupSize: scheme.groupSize,
    symmetric: scheme.symmetric,
    groupIndex: false,
    input,
  };
}

function requireSites(targets: readonly TargetModule<SmoothquantOptions>[], { description }: ModelSummary): void {
  const byName = new Map(targets.map((target) => [target.info.name, target]));
  for (const block of new Set(targets.flatMap(({ info }) => (info.block === undefined ? [] : [info.block])))) {
    const smoothed = findFoldSites(description, block).sites.some((site) =>
      site.consumers.some(({ module }) => {
        const options = byName.get(module)?.options;
        return options !== undefined && (options.sites === 'all' || comesFromNorm(site));
      }),
    );
    if (smoothed) return;
  }
  const reason = 'none of the targets has an input whose scales fold into what comes before, and quantize is false, so that nothing would be done; target layers behind norms, or set sites: all';
  throw pareError('PARE_TARGET_REFUSED', { stage: 'smoothquant', problems: targets.map(({ info }) => ({ module: info.name, reason })) });
}
