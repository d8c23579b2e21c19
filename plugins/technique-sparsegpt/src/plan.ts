import { dtypeBits, type ModulePlan, type TargetModule } from '@pare/core';
import { checkSparsity, patternOf, type CompetingWeights } from '@pare/pruning';
import type { SweepQuantizer } from '@pare/solvers';
import { groupSizeProblem, prunedByGroups, quantizedBits, resolveScaleType, resolveScheme, sparseBits } from '@pare/weights';
import type { SparsegptOptions } from './options.js';

type Target = Pick<TargetModule<SparsegptOptions>, 'info' | 'options' | 'before'>;

/** Why the options do not fit a module, or undefined when they do. */
export function checkTarget(target: Target): string | undefined {
  const { info, options } = target;
  const { bits, groupSize, blockSize } = options;
  const pattern = patternOf(options);
  const problem = bits === 'none' ? undefined : groupSizeProblem(groupSize, info.shape[1]);
  if (problem !== undefined) return problem;
  if (pattern.kind === 'grouped' && blockSize % pattern.group !== 0) {
    return `blockSize ${String(blockSize)} is no multiple of the groups of ${String(pattern.group)} of pattern ${options.pattern}; ${String(Math.ceil(blockSize / pattern.group) * pattern.group)} is`;
  }
  return checkSparsity(target, firstBlock(target));
}

function firstBlock({ info, options }: Target): CompetingWeights {
  const count = info.shape[0] * Math.min(options.blockSize, info.shape[1]);
  return { name: `the weights of a block of ${String(options.blockSize)} inputs`, count, pruned: Math.floor(count * options.sparsity) };
}

/** Weights that are pruned: those of the pattern, or at least floor(sparsity · weights) of every block. */
export function prunedWeights({ info, options }: Target): number {
  const pattern = patternOf(options);
  if (pattern.kind === 'grouped') return prunedByGroups(info.shape, pattern);
  const [rows, columns] = info.shape;
  let pruned = 0;
  for (let start = 0; start < columns; start += options.blockSize) pruned += Math.floor(rows * Math.min(options.blockSize, columns - start) * options.sparsity);
  return pruned;
}

/** The quantizer that runs in the same pass, if one does. */
export function quantizerOf({ info, options }: Target): SweepQuantizer | undefined {
  const { bits, groupSize, symmetric, clip } = options;
  if (bits === 'none') return undefined;
  return { bits, groupSize, symmetric, clip, staticGroups: true, scaleType: resolveScaleType(options.scaleType, info.dtype) };
}

/** Stored bits, operations and memory of each target. The factorization counts for the first of the modules that share an input. */
export function planModules(targets: readonly TargetModule<SparsegptOptions>[]): ModulePlan[] {
  const factorized = new Set<string>();
  return targets.map((target) => {
    const { info, options } = target;
    const [rows, columns] = info.shape;
    const quantizer = quantizerOf(target);
    const scheme = quantizer === undefined ? undefined : resolveScheme(quantizer, columns);
    const written = quantizer === undefined || scheme === undefined ? rows * columns * dtypeBits(info.dtype) : quantizedBits(info.shape, scheme, quantizer.scaleType);
    const pattern = patternOf(options);
    const pruned = prunedWeights(target);
    const factor = [info.block, info.step, info.expert, columns, options.damping, options.dampingIncrement].join();
    const factorFlops = factorized.has(factor) ? 0 : (2 / 3) * columns ** 3;
    factorized.add(factor);
    return {
      module: info.name,
      produces: 'sparse',
      storedBits: sparseBits(info.shape, pattern, pruned, scheme?.bits ?? dtypeBits(info.dtype), written),
      writtenBits: written,
      // Weights that cost exactly as much as the last one that is pruned go with it.
      estimated: pattern.kind === 'unstructured' ? true : undefined,
      sparsity: { pattern, pruned },
      bits: scheme?.bits,
      groupSize: scheme?.groupSize,
      symmetric: scheme?.symmetric,
      groupIndex: scheme === undefined ? undefined : false,
      flops: factorFlops + rows * columns ** 2,
      // Gram matrix on the device and read back; the solver's float64 factor, its float32 inverse and the copy that is handed on. The weight as
      // stored, in float32, the solver's two copies, mask and codes, and the result.
      workingBytes: columns ** 2 * (4 + 4 + 8 + 4 + 4) + rows * columns * (dtypeBits(info.dtype) / 8 + 4 + 8 + 2 + 4),
    };
  });
}
