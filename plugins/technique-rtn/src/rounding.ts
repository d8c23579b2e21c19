import { breathe, type QuantizedWeight } from '@pare/core';
import { groupsPerRow, quantizeMatrix, resolveScheme, type QuantizerOptions, type ScaleType } from '@pare/weights';

/** Weights that are rounded before other work of the thread gets a turn: some tens of milliseconds, or a second with the clip search. */
const bandElements = 1 << 20;

/**
 * Rounds a matrix in bands of rows, so that cancelling works and progress shows while a large one is under way. A matrix with one grid is
 * rounded in one go.
 */
export async function roundMatrix(weight: Float32Array, shape: readonly [number, number], options: QuantizerOptions, scaleType: ScaleType, signal: AbortSignal): Promise<QuantizedWeight> {
  const [rows, columns] = shape;
  const scheme = resolveScheme(options, columns);
  const height = Math.max(1, Math.floor(bandElements / columns));
  if (scheme.granularity === 'tensor' || rows <= height) return quantizeMatrix(weight, shape, options, scaleType);
  const groups = groupsPerRow(scheme, columns);
  const codes = new Uint8Array(rows * columns);
  const scales = new Float32Array(rows * groups);
  const zeros = scheme.symmetric ? undefined : new Uint8Array(rows * groups);
  for (let start = 0; start < rows; start += height) {
    await breathe(signal, 'rounding');
    const count = Math.min(height, rows - start);
    const band = quantizeMatrix(weight.subarray(start * columns, (start + count) * columns), [count, columns], options, scaleType);
    codes.set(band.codes, start * columns);
    scales.set(band.scales, start * groups);
    if (band.zeros !== undefined) zeros?.set(band.zeros, start * groups);
  }
  return { form: 'quantized', shape: [rows, columns], scheme, codes, scales, scaleType, zeros, groupIndex: undefined };
}
