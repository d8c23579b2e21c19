import type { Backend, ModelSummary } from '@pare/core';
import { buildBlockGraph } from '../decoder/block-graph.js';
import { relativeBlock } from '../decoder/relative.js';

/**
 * What a backend (open, or a plugin that says so beforehand) computes on the host when it runs the model's blocks: a sentence for each operator and reason, none when
 * everything runs on the device. Blocks of one kind have one graph and are looked at once.
 */
export function describeFallbacks(backend: Pick<Backend, 'fallbacks'>, { description }: Pick<ModelSummary, 'description'>): readonly string[] {
  if (backend.fallbacks === undefined) return [];
  const kinds = new Map(description.blocks.map((block) => [JSON.stringify(relativeBlock(block)), relativeBlock(block)]));
  const sentences = [...kinds.values()].flatMap((block) => {
    const { graph } = buildBlockGraph({ block, hiddenSize: description.hiddenSize, length: 16, experts: 'all' });
    return (backend.fallbacks?.(graph) ?? []).map(({ operator, domain, reason }) => `${domain === '' ? '' : `${domain}::`}${operator} runs on the host: ${reason}`);
  });
  return [...new Set(sentences)];
}
