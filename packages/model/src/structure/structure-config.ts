import { pareError, type DecoderDescription, type ModelConfig } from '@pare/core';
import { resizeDescription, type BlockSizes, type DecoderSizes } from './resize-description.js';

/**
 * Key of config.json that holds what its other keys cannot say: sizes that differ from block to block, or that the architecture has no key for. Written beside the
 * source's own keys, which then describe the model before it was pruned; other programs cannot load such a model from its weights.
 */
export const structureKey = 'pare_structure';

/** Sizes of a pruned model, and which blocks of the configuration it has. */
interface Structure extends DecoderSizes {
  readonly kept: readonly number[];
}

/** Sizes that keys of configurations hold, in the spellings of transformers. */
const spellings = {
  hidden: ['hidden_size', 'n_embd'],
  layers: ['num_hidden_layers', 'n_layer'],
  heads: ['num_attention_heads', 'n_head'],
  kvHeads: ['num_key_value_heads'],
  headSize: ['head_dim'],
  width: ['intermediate_size', 'n_inner', 'ffn_dim'],
  expertWidth: ['moe_intermediate_size'],
  experts: ['num_experts', 'num_local_experts'],
} as const;

/**
 * A configuration of a pruned model. If the ordinary keys can describe it, they do, and stock programs load it; else they stay and `structureKey` says the rest.
 * @param config of the model before
 * @param kept blocks that remain, by index
 * @param describe what the architecture makes of a configuration
 */
export function prunedConfig(
  config: ModelConfig,
  description: DecoderDescription,
  kept: readonly number[],
  sizes: DecoderSizes,
  describe: (config: ModelConfig) => DecoderDescription,
): ModelConfig {
  const ordinary = ordinaryConfig(config, description, kept, sizes);
  if (ordinary !== undefined && describes(ordinary, description, describe)) return ordinary;
  // Indices of the blocks that the other keys describe.
  const earlier = (config[structureKey] as Structure | undefined)?.kept;
  const structure: Structure = { kept: earlier === undefined ? kept : kept.map((index) => earlier[index]!), ...sizes };
  return { ...config, [structureKey]: structure };
}

function describes(config: ModelConfig, description: DecoderDescription, describe: (config: ModelConfig) => DecoderDescription): boolean {
  try {
    return JSON.stringify(describe(config)) === JSON.stringify(description);
  } catch {
    // An architecture that refuses the sizes has no configuration for them.
    return false;
  }
}

/** The configuration with its sizes set, where all blocks agree on them. */
function ordinaryConfig(config: ModelConfig, { blocks, hiddenSize }: DecoderDescription, kept: readonly number[], sizes: DecoderSizes): ModelConfig | undefined {
  const widths = (mixture: boolean): Set<number> => new Set(blocks.flatMap(({ mlp }, index) => ((mlp.kind === 'moe') === mixture ? sizes.blocks[index]!.neurons : [])));
  const values: Readonly<Record<keyof typeof spellings, ReadonlySet<number>>> = {
    hidden: new Set([hiddenSize]),
    layers: new Set([blocks.length]),
    heads: new Set(sizes.blocks.map(({ heads }) => heads)),
    kvHeads: new Set(sizes.blocks.map(({ kvHeads }) => kvHeads)),
    headSize: new Set(blocks.map(({ attention }) => attention.headSize)),
    width: widths(false),
    expertWidth: widths(true),
    experts: new Set(blocks.flatMap(({ mlp }) => (mlp.kind === 'moe' ? [mlp.experts.length] : []))),
  };
  const changed: Record<string, unknown> = { ...config };
  // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the key is a constant of this file
  delete changed[structureKey];
  const layers = Math.max(...kept) + 1;
  for (const [key, value] of Object.entries(config)) if (Array.isArray(value) && value.length >= layers && value.length === oldLayers(config)) changed[key] = kept.map((index) => value[index] as unknown);
  for (const [name, keys] of Object.entries(spellings) as [keyof typeof spellings, readonly string[]][]) {
    const [value, ...others] = values[name];
    if (value === undefined) continue;
    if (others.length > 0) return undefined;
    const present = keys.filter((key) => typeof config[key] === 'number');
    const wanted = present.length > 0 ? present : defaultKeys(name, config);
    for (const key of wanted) changed[key] = value;
  }
  return changed;
}

/** Keys to add where a configuration leaves a size to its default: heads no longer divide the hidden size, GPT-2's width is 4 times it. */
function defaultKeys(name: keyof typeof spellings, config: ModelConfig): readonly string[] {
  if (name === 'headSize' || name === 'kvHeads') return 'n_head' in config ? [] : spellings[name];
  return name === 'width' && 'n_embd' in config ? ['n_inner'] : [];
}

function oldLayers(config: ModelConfig): unknown {
  return spellings.layers.map((key) => config[key]).find((value) => value !== undefined);
}

/** A description with the sizes that `structureKey` states, if it does. @throws PARE_CONFIG_INVALID */
export function applyStructure(description: DecoderDescription, config: ModelConfig): DecoderDescription {
  const value = config[structureKey];
  if (value === undefined) return description;
  const structure = checkedStructure(value, description);
  const kept = structure.kept.map((index) => description.blocks[index]!);
  return resizeDescription(description, kept, structure);
}

function checkedStructure(value: unknown, { blocks }: DecoderDescription): Structure {
  const fail = (found: string, allowed: string): never => {
    throw pareError('PARE_CONFIG_INVALID', { file: 'config.json', path: structureKey, found, allowed });
  };
  const count = (number: unknown): boolean => Number.isInteger(number) && (number as number) > 0;
  const { kept, hiddenSize, blocks: sizes } = value as Partial<Structure>;
  if (!count(hiddenSize)) fail(`hiddenSize ${JSON.stringify(hiddenSize)}`, 'a whole number from 1');
  if (!Array.isArray(kept) || kept.some((index, place) => !Number.isInteger(index) || index < 0 || index >= blocks.length || (place > 0 && index <= (kept as readonly number[])[place - 1]!))) {
    fail(`kept ${JSON.stringify(kept)}`, `ascending indices of the ${String(blocks.length)} blocks`);
  }
  if (!Array.isArray(sizes) || sizes.length !== (kept as readonly number[]).length) fail('sizes of another number of blocks', 'one entry for each kept block');
  for (const [index, size] of (sizes as readonly Partial<BlockSizes>[]).entries()) {
    if (count(size.heads) && count(size.kvHeads) && Array.isArray(size.neurons) && size.neurons.every(count)) continue;
    fail(`block ${String(index)}: ${JSON.stringify(size)}`, 'whole numbers heads, kvHeads and a list neurons');
  }
  return value as Structure;
}
