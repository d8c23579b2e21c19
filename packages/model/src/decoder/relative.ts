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
  return moveNames(block, '', '');
}

/** The block with the names that it would have in another place. */
export function renameBlock(block: BlockDescription, place: BlockDescription): BlockDescription {
  return block.name === place.name ? block : moveNames(block, place.name, blockPrefix(place));
}

function moveNames(block: BlockDescription, name: string, prefix: string): BlockDescription {
  const own = blockPrefix(block);
  const move = (value: unknown): unknown => {
    if (typeof value === 'string') return value.startsWith(own) ? prefix + value.slice(own.length) : value;
    if (Array.isArray(value)) return value.map(move);
    if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, move(entry)]));
    return value;
  };
  return { ...(move(block) as BlockDescription), name };
}
