import type { BlockDescription } from '@pare/core';

/** Tensor and module names of a block start with its own name and a dot. */
export function blockPrefix(block: BlockDescription): string {
  return `${block.name}.`;
}

/**
 * The block with names relative to itself: `self_attn.q_proj` for `model.layers.7.self_attn.q_proj`. Blocks that compute the same thing become deeply equal, so their JSON is a
 * key under which compiled graphs are shared.
 */
export function relativeBlock(block: BlockDescription): BlockDescription {
  const prefix = blockPrefix(block);
  const shorten = (value: unknown): unknown => {
    if (typeof value === 'string') return value.startsWith(prefix) ? value.slice(prefix.length) : value;
    if (Array.isArray(value)) return value.map(shorten);
    if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, shorten(entry)]));
    return value;
  };
  return { ...(shorten(block) as BlockDescription), name: '' };
}
