import { dtypeBits, type ModulePlan, type TargetModule } from '@pare/core';
import { planGroups } from '@pare/solvers';
import { groupSizeProblem, inputBits, inputSchemeFor, inputTargetProblem, planUnderMask, quantizedBits, resolveScaleType } from '@pare/weights';
import type { GptqOptions } from './options.js';

/** Why options do not fit a module, with those that do. */
export function checkModule({ info, options }: TargetModule<GptqOptions>): string | undefined {
  return groupSizeProblem(options.groupSize, info.shape[1]) ?? inputTargetProblem(options.activations, info);
}

/** Stored bits, operations and memory of each target. The factorization counts for the first of the modules that share an input. */
export function planModules(targets: readonly TargetModule<GptqOptions>[]): ModulePlan[] {
  const factorized = new Set<string>();
  return targets.map(({ info, options, before }) => {
    const [rows, columns] = info.shape;
    const { scheme, groups, dynamic } = planGroups({ ...options, scaleType: 'float32' }, columns, undefined);
    const groupIndex = options.actOrder && dynamic && groups > 1;
    const factor = [info.block, info.step, info.expert, columns, options.damping, options.dampingIncrement, options.actOrder].join();
    const factorFlops = factorized.has(factor) ? 0 : (2 / 3) * columns ** 3;
    factorized.add(factor);
    const scaleType = resolveScaleType(options.scaleType, info.dtype);
    const input = inputSchemeFor(options.activations);
    const plan: ModulePlan = {
      module: info.name,
      produces: 'quantized',
      storedBits: quantizedBits(info.shape, scheme, scaleType, groupIndex) + inputBits(input, scaleType),
      bits: scheme.bits,
      groupSize: scheme.groupSize,
      symmetric: scheme.symmetric,
      groupIndex,
      input,
      flops: factorFlops + rows * columns ** 2,
      // Gram matrix on the device and read back; the solver's float64 factor, its float32 inverse and the copy that is handed on. The weight as
      // stored, in float32, the solver's copy, and codes.
      workingBytes: columns ** 2 * (4 + 4 + 8 + 4 + 4) + rows * columns * (dtypeBits(info.dtype) / 8 + 4 + 4 + 2),
    };
    return planUnderMask(plan, info.shape, before);
  });
}
