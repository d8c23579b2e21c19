import { pareError, type InputQuantization, type ModuleHandle, type StatisticRef } from '@pare/core';
import { dynamicTokenInput, staticTensorInput, type Activations, type ScaleType } from '@pare/weights';
import { absMaxStatistic, type FeatureMagnitudes } from './magnitude.js';

/** The statistics that rounding a layer's inputs needs. */
export function inputGridStatistics(activations: Activations): readonly StatisticRef<unknown>[] {
  return activations === 'static-tensor' ? [absMaxStatistic] : [];
}

/** What decides the grid of a module's inputs. */
export interface InputGridOptions {
  readonly activations: Activations;
  /** Storage type of a static scale. */
  readonly scaleType: ScaleType;
  /** Modules that saw fewer tokens get dynamic grids: the largest value of a few says little. */
  readonly minimumTokens: number;
}

/**
 * How a module is to round its inputs, by `inputGridStatistics`; undefined when it is not to.
 * @throws PARE_STATISTIC_NOT_FINITE, PARE_SCALE_OVERFLOW
 */
export async function inputGrid(module: Pick<ModuleHandle<unknown>, 'statistic'>, { activations, scaleType, minimumTokens }: InputGridOptions): Promise<InputQuantization | undefined> {
  if (activations === 'none') return undefined;
  if (activations === 'dynamic-token') return dynamicTokenInput;
  const magnitudes = await module.statistic(absMaxStatistic);
  requireFiniteMagnitudes(magnitudes);
  if (magnitudes.rows < minimumTokens) return dynamicTokenInput;
  return staticTensorInput(
    magnitudes.values.reduce((most, value) => Math.max(most, value), 0),
    scaleType,
  );
}

/** @throws PARE_STATISTIC_NOT_FINITE naming the first input feature whose values are not */
export function requireFiniteMagnitudes({ values }: FeatureMagnitudes): void {
  const column = values.findIndex((value) => !Number.isFinite(value));
  if (column !== -1) throw pareError('PARE_STATISTIC_NOT_FINITE', { statistic: 'largest magnitude of the inputs', row: 0, column, value: String(values[column]) });
}
