import { type Backend, type DecoderDescription } from '@pare/core';
import { buildBlockGraph } from './block-graph.js';
import { type ExpertMode } from './mlp.js';
import { relativeBlock } from './relative.js';

/** How a mixture's experts run on a backend: on their own tokens where it can work with sizes that only the data tells. */
export function expertModeOn(backend: Backend, { blocks, hiddenSize }: DecoderDescription): ExpertMode {
  const block = blocks.find(({ mlp }) => mlp.kind === 'moe');
  if (block === undefined) return 'all';
  const { graph } = buildBlockGraph({ block: relativeBlock(block), hiddenSize, length: 1, experts: 'routed' });
  return backend.unsupported(graph).length === 0 ? 'routed' : 'all';
}
