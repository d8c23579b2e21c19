import type { IndexRun, TensorSlice } from '@pare/core';
import type { DependencyGroup } from './dependency-graph.js';
import { runLength } from './index-map.js';

/**
 * A group in words, a line for each tensor:
 *
 *   removing neuron 12 of block 3 edits 3 tensors:
 *     model.layers.3.mlp.gate_proj.weight  axis 0, index 12
 *
 * @param what the thing that is removed: `neuron 12 of block 3`
 */
export function describeGroup(group: DependencyGroup, what: string): string {
  const names = new Set(group.slices.map(({ tensor }) => tensor));
  const parts = [
    ...(names.size === 0 && group.removed.length > 0 ? [] : [`edits ${count(names.size, 'tensor')}`]),
    ...(group.removed.length === 0 ? [] : [`removes ${count(group.removed.length, 'tensor')} as a whole`]),
  ];
  const lines = [...group.slices.map(sliceLine), ...group.removed.map((tensor): [string, string] => [tensor, 'removed'])];
  const width = Math.max(0, ...lines.map(([tensor]) => tensor.length));
  const text = [`removing ${what} ${parts.join(' and ')}:`, ...lines.map(([tensor, edit]) => `  ${tensor.padEnd(width)}  ${edit}`)];
  if (group.statistics.length > 0) text.push(`  ${count(group.statistics.length, 'node')} computed over all of the axis will differ from a model with zeros in its place`);
  return text.join('\n');
}

function sliceLine({ tensor, axis, runs }: TensorSlice): [string, string] {
  const shown = runs.slice(0, 4).map(runText).join(', ');
  const more = runs.length > 4 ? `, … (${String(runLength(runs))} indices in ${String(runs.length)} runs)` : '';
  const single = runs.length === 1 && runs[0]!.length === 1;
  return [tensor, `axis ${String(axis)}, ${single ? 'index' : 'indices'} ${shown}${more}`];
}

function runText({ start, length }: IndexRun): string {
  return length === 1 ? String(start) : `${String(start)}–${String(start + length - 1)}`;
}

function count(number: number, noun: string): string {
  return `${String(number)} ${noun}${number === 1 ? '' : 's'}`;
}
