import { pareError, type AttentionDescription, type BlockDescription, type DecoderDescription, type LinearDescription, type MlpDescription } from '@pare/core';
import { renameBlock } from '../decoder/relative.js';

/** Sizes of one block. Everything else of a description stays as it is. */
export interface BlockSizes {
  readonly heads: number;
  readonly kvHeads: number;
  /** Neurons: one number, or one for each expert of a mixture. */
  readonly neurons: readonly number[];
}

/** Sizes of a decoder that structural pruning changes. */
export interface DecoderSizes {
  readonly hiddenSize: number;
  readonly blocks: readonly BlockSizes[];
}

/** The sizes that a description has. */
export function sizesOf({ hiddenSize, blocks }: DecoderDescription): DecoderSizes {
  return {
    hiddenSize,
    blocks: blocks.map(({ attention: { heads, kvHeads }, mlp }) => ({
      heads,
      kvHeads,
      neurons: mlp.kind === 'moe' ? mlp.experts.map(({ down }) => down.inFeatures) : [mlp.down.inFeatures],
    })),
  };
}

/**
 * A description with other sizes.
 * @param kept the blocks that it still has, in order; they take the names of the first places, and so do the experts of a mixture
 * @throws PARE_STRUCTURE_IMPOSSIBLE
 */
export function resizeDescription(description: DecoderDescription, kept: readonly BlockDescription[], sizes: DecoderSizes): DecoderDescription {
  const { hiddenSize } = sizes;
  const blocks = kept.map((block, index): BlockDescription => {
    const renamed = renameBlock(block, description.blocks[index]!);
    return {
      ...renamed,
      attention: resizeAttention(renamed, hiddenSize, sizes.blocks[index]!),
      mlp: resizeMlp(renamed, hiddenSize, sizes.blocks[index]!),
    };
  });
  return { ...description, hiddenSize, blocks };
}

const resize = (linear: LinearDescription, inFeatures: number, outFeatures: number): LinearDescription => ({ ...linear, inFeatures, outFeatures });

function resizeAttention({ name, attention }: BlockDescription, hidden: number, { heads, kvHeads }: BlockSizes): AttentionDescription {
  const { projections, output, headSize } = attention;
  if (!Number.isInteger(heads) || !Number.isInteger(kvHeads) || heads < 1 || kvHeads < 1 || heads % kvHeads !== 0) {
    throw impossible(`${name} would have ${String(heads)} query heads for ${String(kvHeads)} key-value heads`, 'at least one of each, and as many query heads for every key-value head');
  }
  const [query, keyValue] = [heads * headSize, kvHeads * headSize];
  const resized = { ...attention, heads, kvHeads, output: resize(output, query, hidden) };
  switch (projections.kind) {
    case 'separate':
      return {
        ...resized,
        projections: { ...projections, query: resize(projections.query, hidden, query), key: resize(projections.key, hidden, keyValue), value: resize(projections.value, hidden, keyValue) },
      };
    case 'concatenated':
    case 'interleaved':
      return { ...resized, projections: { ...projections, fused: resize(projections.fused, hidden, query + 2 * keyValue) } };
  }
}

function resizeMlp({ name, mlp }: BlockDescription, hidden: number, { neurons }: BlockSizes): MlpDescription {
  const width = neurons[0] ?? 0;
  if (neurons.length === 0 || neurons.some((count) => !Number.isInteger(count) || count < 1)) {
    throw impossible(`the MLP of ${name} would have ${neurons.length === 0 ? 'no experts' : `${String(Math.min(...neurons))} neurons`}`, 'at least one neuron in each, or drop the whole block');
  }
  switch (mlp.kind) {
    case 'plain':
      return { ...mlp, up: resize(mlp.up, hidden, width), down: resize(mlp.down, width, hidden) };
    case 'gated':
      return { ...mlp, gate: resize(mlp.gate, hidden, width), up: resize(mlp.up, hidden, width), down: resize(mlp.down, width, hidden) };
    case 'gated-fused':
      return { ...mlp, gateUp: resize(mlp.gateUp, hidden, 2 * width), down: resize(mlp.down, width, hidden) };
    case 'moe': {
      if (neurons.length < mlp.expertsPerToken) throw impossible(`${name} would have ${String(neurons.length)} experts`, `at least the ${String(mlp.expertsPerToken)} that a token takes`);
      const experts = neurons.map((count, index) => {
        const { gate, up, down } = mlp.experts[index]!;
        return { gate: resize(gate, hidden, count), up: resize(up, hidden, count), down: resize(down, count, hidden) };
      });
      return { ...mlp, router: resize(mlp.router, hidden, experts.length), experts };
    }
  }
}

export function impossible(found: string, allowed: string): Error {
  return pareError('PARE_STRUCTURE_IMPOSSIBLE', { found, allowed });
}
