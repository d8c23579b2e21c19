import { float32Tensor, type DeviceTensor, type HostTensor } from '@pare/core';
import type { DeviceGraphs } from './device-graphs.js';
import { roundOnDevice } from './device-rounding.js';
import { clippedError, roundedWeight, roundingError, scaleMatrix, type TrialGrid } from './trial-rounding.js';

/** A matrix [out, in] that a trial made: in host memory, whose array may be detached, or on the device, where the caller disposes it. */
export type TrialValues = (HostTensor & { readonly data: Float32Array }) | DeviceTensor;

/** A matrix [out, in] whose inputs are scaled and which is rounded to nearest on a grid, over and over with other scales. */
export interface TrialMatrix extends Disposable {
  /** Q(W·diag(s))·diag(s)⁻¹. */
  rounded(scales: Float64Array): Promise<TrialValues>;
  /** Q(W·diag(s))·diag(s)⁻¹ − W. */
  error(scales: Float64Array): Promise<TrialValues>;
  /** Cuts of W·diag(s). */
  cuts(scales: Float64Array): Promise<TrialCuts>;
}

export interface TrialCuts extends Disposable {
  /** Largest magnitude of each group of W·diag(s), [out, groups]. */
  readonly largest: Float64Array;
  /** (Q(clamp(v, ±limit)) − v)·diag(s)⁻¹ for v = W·diag(s). @param shrink limits as a share of the largest magnitudes */
  error(shrink: number): Promise<TrialValues>;
}

/**
 * A trial matrix where it is fastest: with the device where that has memory of its own, since a matrix goes there once and every trial stays there; else on the host, in doubles, which spares a
 * processor a pass over memory for each operator.
 */
export function trialMatrix(graphs: DeviceGraphs, weight: Float32Array, columns: number, grid: TrialGrid): TrialMatrix {
  return graphs.backend.device.separate === undefined ? onHost(weight, columns, grid) : roundOnDevice(graphs, weight, columns, grid);
}

function onHost(weight: Float32Array, columns: number, grid: TrialGrid): TrialMatrix {
  const values = (data: Float32Array): Promise<TrialValues> => Promise.resolve(float32Tensor([weight.length / columns, columns], data));
  const nothing = (): void => undefined;
  return {
    rounded: (scales) => values(roundedWeight(weight, columns, scales, grid)),
    error: (scales) => values(roundingError(weight, columns, scales, grid)),
    cuts(scales) {
      const scaled = scaleMatrix(weight, columns, scales, grid.groupSize);
      const largest = scaled.lows.map((low, group) => Math.max(-low, scaled.highs[group]!));
      return Promise.resolve({ largest, error: (shrink) => values(clippedError(scaled, grid, shrink)), [Symbol.dispose]: nothing });
    },
    [Symbol.dispose]: nothing,
  };
}

/** Frees what a trial left on the device. */
export function disposeValues(values: TrialValues): void {
  if (!('data' in values)) values[Symbol.dispose]();
}
