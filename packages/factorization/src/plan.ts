import { pareError, type ModuleInfo, type ModulePlan, type TargetModule } from '@pare/core';
import type { RankOptions } from './options.js';
import { factorBits, largestSavingRank, matrixBits, rankOf } from './rank.js';

/** Why a module cannot be factorized, or undefined when it can. */
export function checkFactorizable({ info, options }: TargetModule<RankOptions>): string | undefined {
  if (info.kind === 'embedding') return 'it is looked up row by row, not multiplied: leave the embedding out of the targets';
  const least = Math.min(...info.shape);
  const rank = rankOf(info, options);
  if (options.by === 'rank' && rank !== undefined && rank > least && options.rank <= least) {
    return `multipleOf ${String(options.multipleOf)} makes rank ${String(options.rank)} larger than its smaller side, ${String(least)}`;
  }
  return undefined;
}

/** Why a module stays dense: two factors of the rank would be no smaller. */
export function keptDense(info: Pick<ModuleInfo, 'shape' | 'dtype'>, rank: number | undefined): string {
  const [rows, columns] = info.shape;
  const asked = rank === undefined ? 'the rank that keeps the energy asked for' : `rank ${String(rank)}`;
  return `${asked} makes two factors of [${String(rows)}, ${String(columns)}] no smaller than the matrix, which only ranks up to ${String(largestSavingRank(info))} do; kept dense`;
}

/** Work of factorizing one matrix, beside its shape. */
export interface FactorizationWork {
  /** Further floating-point operations and bytes. */
  readonly flops?: number;
  readonly bytes?: number;
}

/**
 * Plans of matrices that become two factors, or stay dense where that would not make them smaller. Ranks by energy are estimated: as large as still saves.
 * @throws PARE_TARGET_REFUSED when all would stay dense
 */
export function planFactorized<O extends RankOptions>(technique: string, targets: readonly TargetModule<O>[], workOf: (target: TargetModule<O>) => FactorizationWork = () => ({})): ModulePlan[] {
  const plans = targets.map((target): ModulePlan => {
    const { info, options } = target;
    const [rows, columns] = info.shape;
    const largest = largestSavingRank(info);
    const rank = rankOf(info, options);
    if (largest === 0 || (rank ?? 0) > largest) return { module: info.name, produces: 'dense', storedBits: matrixBits(info), flops: 0, workingBytes: 0 };
    const { flops = 0, bytes = 0 } = workOf(target);
    return {
      module: info.name,
      produces: 'factorized',
      storedBits: factorBits(info, rank ?? largest),
      rank,
      estimated: rank === undefined ? true : undefined,
      flops: flops + svdFlops(info.shape, rank ?? largest),
      // The float32 weight; scaled, triangle and both bases in float64; the factors.
      workingBytes: bytes + rows * columns * (4 + 4 * 8) + (rank ?? largest) * (rows + columns) * 12,
    };
  });
  if (plans.length > 0 && plans.every(({ produces }) => produces === 'dense')) {
    const problems = targets.map(({ info, options }) => ({ module: info.name, reason: keptDense(info, rankOf(info, options)) }));
    throw pareError('PARE_TARGET_REFUSED', { stage: technique, problems });
  }
  return plans;
}

/** Six products with the directions of a range finder, or QR and ten sweeps of Jacobi rotations, as `truncatedSvd` decides. */
function svdFlops(shape: readonly [number, number], rank: number): number {
  const [large, small] = [Math.max(...shape), Math.min(...shape)];
  const directions = rank + 10;
  return directions * 5 > small ? 34 * large * small ** 2 + 40 * small ** 3 : 12 * large * small * directions + 40 * directions ** 3;
}
