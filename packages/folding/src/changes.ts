import type { FoldConsumer, FoldSite, FoldSource } from './sites.js';

/** How one tensor changes when scales are folded. */
export interface FoldChange {
  /** Stored name of the tensor. */
  readonly tensor: string;
  /** The module, when the tensor is its matrix. */
  readonly module: string | undefined;
  /** True for what is divided by the scales, false for the modules whose columns are multiplied. */
  readonly source: boolean;
  /** Changes values in place: a matrix [out, in] row-major, or a vector. Returns them. */
  apply(values: Float32Array): Float32Array;
}

/**
 * The changes of all tensors of a site for scales [channels], s > 0. Together they leave the block's function as it is:
 * consumers W ← W·diag(s), sources W ← diag(s)⁻¹·W, b ← b / s, w ← (offset + w) / s − offset.
 *
 * @throws RangeError for another number of scales, scales that are not positive and finite, or different ones where the site shares them
 */
export function foldChanges(site: FoldSite, scales: Float32Array | Float64Array): readonly FoldChange[] {
  checkScales(site, scales);
  return [...site.sources.map((source) => sourceChange(source, scales)), ...site.consumers.map((consumer) => consumerChange(consumer, scales))];
}

function consumerChange({ module, channels }: FoldConsumer, scales: Float32Array | Float64Array): FoldChange {
  return { tensor: `${module}.weight`, module, source: false, apply: (values) => multiplyColumns(values, channels, scales) };
}

function sourceChange(source: FoldSource, scales: Float32Array | Float64Array): FoldChange {
  const { channels } = source;
  if (source.kind === 'rows') return { tensor: `${source.module}.weight`, module: source.module, source: true, apply: (values) => divideRows(values, channels, scales) };
  const { tensor, offset } = source;
  return {
    tensor,
    module: undefined,
    source: true,
    apply(values) {
      for (const [index, channel] of channels.entries()) if (channel >= 0) values[index] = (offset + values[index]!) / scales[channel]! - offset;
      return values;
    },
  };
}

/** W ← W·diag(s), in place, for W [out, in] and the channel of each column. */
export function multiplyColumns(values: Float32Array, channels: Int32Array, scales: Float32Array | Float64Array): Float32Array {
  const factors = Float64Array.from(channels, (channel) => (channel < 0 ? 1 : scales[channel]!));
  const columns = channels.length;
  for (let start = 0; start < values.length; start += columns) for (let column = 0; column < columns; column++) values[start + column]! *= factors[column]!;
  return values;
}

function divideRows(values: Float32Array, channels: Int32Array, scales: Float32Array | Float64Array): Float32Array {
  const columns = values.length / channels.length;
  for (const [row, channel] of channels.entries()) {
    if (channel < 0) continue;
    for (let index = row * columns; index < (row + 1) * columns; index++) values[index]! /= scales[channel]!;
  }
  return values;
}

function checkScales({ channels, shared }: FoldSite, scales: Float32Array | Float64Array): void {
  if (scales.length !== channels) throw new RangeError(`${String(scales.length)} scales for ${String(channels)} channels`);
  for (const [channel, scale] of scales.entries()) {
    if (!(scale > 0 && scale < Infinity)) throw new RangeError(`scale ${String(scale)} of channel ${String(channel)}; scales are positive and finite`);
    const first = shared?.[channel];
    if (first !== undefined && scales[first] !== scale) throw new RangeError(`channels ${String(first)} and ${String(channel)} share a scale and have two`);
  }
}
