import { pareError, type BlockHalf, type BlockTrials, type DeviceTensor } from '@pare/core';
import type { FoldTarget, TargetedSite } from '@pare/folding';
import { absMeanStatistic, gramStatistic, type FeatureMagnitudes, type ExecutableCache } from '@pare/model';
import { resolveScheme } from '@pare/weights';
import type { DeviceLosses } from './device-losses.js';
import type { AwqOptions } from './options.js';
import { searchScales, type ChosenScales } from './scale-grid.js';
import { TrialMatrix } from './trial-matrix.js';
import type { TrialGrid } from './trial-rounding.js';

export interface SearchTools {
  readonly executables: ExecutableCache;
  readonly losses: DeviceLosses;
  readonly trials: BlockTrials | undefined;
  /** The half of the block that the scales are judged by; undefined where the targets' own outputs tell. */
  readonly half: BlockHalf | undefined;
}

/** The grid that a module's options mean. */
export function trialGrid(options: AwqOptions, columns: number): TrialGrid {
  const { bits, symmetric, groupSize } = resolveScheme(options, columns);
  return { bits, symmetric, groupSize };
}

/** Scales of a consumer's inputs: those of their channels, 1 for inputs that no scale touches. */
export function columnScales(channels: Int32Array, scales: Float64Array): Float64Array {
  return Float64Array.from(channels, (channel) => (channel < 0 ? 1 : scales[channel]!));
}

/**
 * Searches the scales of a site. Every exponent is judged by rounding all its targets, scaled, to nearest: by the mean squared change of the half's output over the trial tokens, or by Σ over the targets
 * and all calibration tokens of ‖(Ŵ − W)·x‖². Undefined where too few tokens reached the targets.
 *
 * @throws PARE_STATISTIC_NOT_FINITE, PARE_LOSS_NOT_FINITE
 */
export async function searchSite({ site, targets }: TargetedSite<AwqOptions>, { executables, losses, trials, half }: SearchTools): Promise<ChosenScales | undefined> {
  const [{ module: first }] = targets;
  const { minimumTokens, gridPoints, objective } = first.options;
  const { values: magnitudes, rows } = await meanMagnitudes(site.channels, targets);
  if (rows < minimumTokens) return undefined;
  const matrices: TrialMatrix[] = [];
  try {
    for (const { module } of targets) {
      const columns = module.info.shape[1];
      matrices.push(new TrialMatrix(executables, (await module.weight()).data, columns, trialGrid(module.options, columns)));
    }
    const scalesOf = (index: number, scales: Float64Array): Float64Array => columnScales(targets[index]!.consumer.channels, scales);
    const ofLayers = async (scales: Float64Array): Promise<number> => {
      let sum = 0;
      for (const [index, { module }] of targets.entries()) sum += await losses.trace(await matrices[index]!.error(scalesOf(index, scales)), (await module.statistic(gramStatistic)).matrix);
      return sum;
    };
    const ofHalf = async (inspected: BlockTrials, scales: Float64Array): Promise<number> => {
      const trial = new Map<string, DeviceTensor>();
      using scope = executables.backend.scope();
      for (const [index, { module }] of targets.entries()) trial.set(`${module.info.name}.weight`, scope.own(await matrices[index]!.rounded(scalesOf(index, scales))));
      return await inspected.loss(half!, trial);
    };
    const inspected = half !== undefined && objective === 'halves' ? trials : undefined;
    const chosen = await searchScales(magnitudes, gridPoints, inspected === undefined ? ofLayers : (scales) => ofHalf(inspected, scales));
    if (chosen === undefined) throw pareError('PARE_LOSS_NOT_FINITE', { technique: 'awq', module: first.info.name, loss: NaN });
    return chosen;
  } finally {
    for (const matrix of matrices) matrix[Symbol.dispose]();
  }
}

/** Mean |x| of each channel over the tokens that reached the targets. Experts saw a part each; every token reached equally many of them. */
async function meanMagnitudes(channels: number, targets: readonly FoldTarget<AwqOptions>[]): Promise<FeatureMagnitudes> {
  const sums = new Float64Array(channels);
  let rows = 0;
  const seen = new Set<FeatureMagnitudes>();
  for (const { module, consumer } of targets) {
    const magnitudes = await module.statistic(absMeanStatistic);
    if (seen.has(magnitudes)) continue;
    seen.add(magnitudes);
    const bad = magnitudes.values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw pareError('PARE_STATISTIC_NOT_FINITE', { statistic: 'mean magnitude of the inputs', row: 0, column: bad, value: String(magnitudes.values[bad]) });
    for (const [column, channel] of consumer.channels.entries()) if (channel >= 0) sums[channel]! += magnitudes.values[column]! * magnitudes.rows;
    rows += magnitudes.rows;
  }
  return { values: Float32Array.from(sums, (sum) => sum / Math.max(1, rows)), rows };
}
