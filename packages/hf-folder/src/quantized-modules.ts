import type { ModelSummary, ModuleInfo, ModulePlan } from '@pare/core';
import { plansCodes } from '@pare/weights';
import { isProduct } from './product-notes.js';

/** A module that is to be stored as codes. */
export interface QuantizedModule {
  readonly info: ModuleInfo;
  readonly plan: ModulePlan;
}

/** The modules whose planned results hold codes, those of products apart. */
export function quantizedModules(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>): QuantizedModule[] {
  return summary.modules.flatMap((info) => {
    const plan = plans.get(info.name);
    return plan !== undefined && !isProduct(plan.produces) && plansCodes(plan) ? [{ info, plan }] : [];
  });
}

/** A note on group sizes that the usual kernels lack. @param usual sizes that they have; rows of one group always count as such */
export function groupNotes(quantized: readonly QuantizedModule[], usual: readonly number[]): readonly string[] {
  const odd = new Set(quantized.flatMap(({ info, plan: { groupSize = -1 } }) => (groupSize === -1 || groupSize >= info.shape[1] || usual.includes(groupSize) ? [] : [groupSize])));
  return odd.size === 0 ? [] : [`groups of ${[...odd].join(', ')} inputs: GPTQModel and transformers read ${usual.join(', ')} or one group a row.`];
}
