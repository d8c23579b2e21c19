import type { ModelSummary } from '@pare/core';
import type { ModelCompute, ModuleCompute } from '@pare/model';

/** The counts with factorized modules as the two products that they are: r·(in + out) multiply-accumulates a token instead of in·out. */
export function asFactorized({ blocks, head }: ModelCompute, { modules }: Pick<ModelSummary, 'modules'>): ModelCompute {
  const ranks = modules.flatMap(({ name, shape: [rows, columns], rank }) => (rank === undefined ? [] : [[name, { factors: rank * (rows + columns), weights: rows * columns }] as const]));
  const sizes = new Map(ranks);
  const count = ({ module, macs }: ModuleCompute): ModuleCompute => {
    const { factors, weights } = sizes.get(module) ?? { factors: 1, weights: 1 };
    return { module, macs: (macs / weights) * factors };
  };
  return { blocks: blocks.map((block) => ({ ...block, modules: block.modules.map(count) })), head: count(head) };
}
