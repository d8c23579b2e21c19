import type { ModuleInfo } from '@pare/core';

/** Which layers of blocks are quantized, by their names inside a block. */
export type BlockTargets = { readonly kind: 'all' } | { readonly kind: 'some'; readonly names: readonly string[] } | { readonly kind: 'varying' };

/** What transformers can be told: all linear layers of blocks, the same ones in every block, or (what it cannot be told) others from block to block. */
export function blockTargets(modules: readonly ModuleInfo[], quantized: ReadonlySet<string>): BlockTargets {
  const blocks = new Map<number, { readonly chosen: string[]; dense: boolean }>();
  for (const { name, block } of modules) {
    if (block === undefined) continue;
    const found = blocks.get(block) ?? { chosen: [], dense: false };
    blocks.set(block, found);
    if (quantized.has(name)) found.chosen.push(nameInBlock(name, block));
    else found.dense = true;
  }
  const all = [...blocks.values()];
  if (all.every(({ dense }) => !dense)) return { kind: 'all' };
  const names = all[0]!.chosen;
  return all.every(({ chosen }) => chosen.join() === names.join()) ? { kind: 'some', names } : { kind: 'varying' };
}

/** `mlp.up_proj` for `model.layers.3.mlp.up_proj` of block 3. */
function nameInBlock(name: string, block: number): string {
  const place = `.${String(block)}.`;
  return name.slice(name.indexOf(place) + place.length);
}
