import type { BlockHalf, ModuleInfo } from '@pare/core';
import type { BlockFolding, FoldSite } from '@pare/folding';
import type { AwqOptions } from './options.js';

/**
 * The half of the block whose output tells how good a site's scales are; undefined where the targets' own outputs do. Layers that share an input are judged by what comes of them
 * together, the whole attention or MLP; a layer by itself, output and down projections for example, by its own output.
 */
export function judgingHalf({ consumers }: FoldSite, folding: BlockFolding<AwqOptions>): BlockHalf | undefined {
  const roles = consumers.map(({ module }) => folding.info(module)?.role);
  const fused: readonly (ModuleInfo['role'] | undefined)[] = ['attention.qkv', 'mlp.gate-up'];
  if (roles.length === 1 && !fused.includes(roles[0])) return undefined;
  const halves = new Set(roles.map((role) => role?.split('.')[0]));
  const [half] = halves;
  return halves.size === 1 && (half === 'attention' || half === 'mlp') ? half : undefined;
}
