import type { LoweredGraph } from '../lowering/lower-graph.js';
import { roundedSize } from './buffer-pool.js';

/** Which computed values of a plan share memory. */
export interface MemoryPlan {
  /** Bytes of each slot. */
  readonly slots: readonly number[];
  /** Slot of each computed buffer that is no output, by buffer id. */
  readonly slotOf: ReadonlyMap<number, number>;
}

/**
 * Gives every intermediate value a slot such that no two that live at the same time share one. A slot is free after the last step that uses its value; a kernel never
 * reads and writes the same slot. Larger values choose first among the free slots of the step, best fit.
 */
export function planMemory({ buffers, steps, outputs, needs }: LoweredGraph): MemoryPlan {
  const kept = new Set([...(outputs?.values() ?? [])].map(({ buffer }) => buffer.id));
  if (needs !== undefined) kept.add(needs.buffer.id);
  const first = new Map<number, number>();
  const last = new Map<number, number>();
  for (const [index, step] of steps.entries()) {
    for (const { buffer } of step.operands) {
      if (!first.has(buffer)) first.set(buffer, index);
      last.set(buffer, index);
    }
  }
  const slots: number[] = [];
  const slotOf = new Map<number, number>();
  const free = new Set<number>();
  const ending: number[][] = steps.map(() => []);
  const starting: number[][] = steps.map(() => []);
  for (const { id, origin } of buffers) {
    if (origin.kind !== 'computed' || kept.has(id) || !first.has(id)) continue;
    starting[first.get(id)!]!.push(id);
    ending[last.get(id)!]!.push(id);
  }
  for (const index of steps.keys()) {
    for (const id of starting[index]!.sort((a, b) => buffers[b]!.bytes - buffers[a]!.bytes)) {
      const bytes = roundedSize(buffers[id]!.bytes);
      const fitting = [...free].filter((slot) => slots[slot]! >= bytes).sort((a, b) => slots[a]! - slots[b]!)[0];
      const largest = [...free].sort((a, b) => slots[b]! - slots[a]!)[0];
      const slot = fitting ?? largest ?? slots.length;
      if (slot === slots.length) slots.push(bytes);
      else slots[slot] = Math.max(slots[slot]!, bytes);
      free.delete(slot);
      slotOf.set(id, slot);
    }
    for (const id of ending[index]!) free.add(slotOf.get(id)!);
  }
  return { slots, slotOf };
}
