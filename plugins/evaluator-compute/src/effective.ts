import { throwIfAborted, type Model } from '@pare/core';
import type { ModelCompute, ModuleCompute } from '@pare/model';

/** Share of a matrix's weights that are not exactly zero. @returns 0 … 1 */
function nonzeroShare(weights: Float32Array): number {
  let nonzero = 0;
  for (const weight of weights) if (weight !== 0) nonzero++;
  return weights.length === 0 ? 1 : nonzero / weights.length;
}

/**
 * The non-zero share of every module that was counted, by module. One matrix at a time is in memory.
 * @throws PARE_ABORTED
 */
export async function nonzeroShares(
  model: Model,
  { blocks, head }: ModelCompute,
  { signal, onModule }: { readonly signal: AbortSignal; readonly onModule: (done: number, total: number) => void },
): Promise<Map<string, number>> {
  const modules = [...blocks.flatMap((block) => block.modules), head];
  const shares = new Map<string, number>();
  for (const [index, { module }] of modules.entries()) {
    throwIfAborted(signal, 'counting zeros');
    shares.set(module, nonzeroShare((await model.denseWeight(module)).data));
    onModule(index + 1, modules.length);
  }
  return shares;
}

/** Multiply-accumulates left when products with zero weights are skipped. */
export function effectiveMacs({ module, macs }: ModuleCompute, shares: ReadonlyMap<string, number>): number {
  return macs * (shares.get(module) ?? 1);
}
