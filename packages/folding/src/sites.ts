import type { DecoderDescription } from '@pare/core';
import { blockPrefix } from '@pare/model';
import { readBlockValues, type BlockValues } from './block-values.js';
import { traceScale, type Trace } from './trace.js';

/** A module whose input columns are multiplied by the scales of a site. */
export interface FoldConsumer {
  readonly module: string;
  /** Channel of the site for each input of the module [in]; −1 for inputs that stay as they are. */
  readonly channels: Int32Array;
}

/** What is divided by the scales of a site: output rows of a module, or a norm weight or a bias. */
export type FoldSource =
  | {
      readonly kind: 'rows';
      readonly module: string;
      /** Channel for each output of the module [out]; −1 for rows that stay as they are (queries and keys of a fused projection). */
      readonly channels: Int32Array;
    }
  | {
      readonly kind: 'vector';
      /** Stored name: `model.layers.0.input_layernorm.weight`. */
      readonly tensor: string;
      /** Channel for each element; −1 for elements that stay as they are. */
      readonly channels: Int32Array;
      /** Added to the stored values before they are used: Gemma's norms multiply by 1 + w. */
      readonly offset: number;
    };

/**
 * A value whose channels may be rescaled without changing the block: with any positive scales s, all sources divided by s and the columns of all consumers multiplied
 * by s compute the same function.
 */
export interface FoldSite {
  /** Number of scales. */
  readonly channels: number;
  /** Every module that reads the value. */
  readonly consumers: readonly FoldConsumer[];
  readonly sources: readonly FoldSource[];
  /** For each channel the first one whose scale it has to share (heads that read one value head); undefined when all scales are free. */
  readonly shared: Int32Array | undefined;
}

/** Modules that read one value which cannot be rescaled, and why. */
export interface SkippedFold {
  readonly modules: readonly string[];
  readonly reason: string;
}

export interface FoldSites {
  readonly sites: readonly FoldSite[];
  readonly skipped: readonly SkippedFold[];
}

export interface FoldOptions {
  /** Report sites too whose channels cannot all have scales of their own; they are skipped by default. */
  readonly shared?: boolean | undefined;
}

/**
 * Finds in the graph of a block every value that linear modules read and whose channels can be rescaled by changing the operators before it: norms, and modules reached through
 * operators that keep channels apart (an exact factor of a gate, ReLU, attention's mixing of values). Names are those of the model. Sites come in the order of execution.
 */
export function findFoldSites(description: Pick<DecoderDescription, 'blocks' | 'hiddenSize'>, block: number, options: FoldOptions = {}): FoldSites {
  const described = description.blocks[block];
  if (described === undefined) throw new RangeError(`block ${String(block)} of a model with ${String(description.blocks.length)}`);
  const prefix = blockPrefix(described);
  const values = readBlockValues(described, description.hiddenSize);
  const sites: FoldSite[] = [];
  const skipped: SkippedFold[] = [];
  const seen = new Set<string>();
  for (const { module, input } of values.linears.values()) {
    if (seen.has(module)) continue;
    const trace = traceScale(values, input);
    const refused = 'reason' in trace ? trace.reason : trace.shared !== undefined && options.shared !== true ? sharedReason(trace) : undefined;
    if (refused === undefined) {
      const site = siteOf(trace as Trace, prefix, values.shapes.get(input)!.at(-1)!);
      sites.push(site);
      for (const consumer of site.consumers) seen.add(consumer.module.slice(prefix.length));
    } else {
      const modules = readersOf(values, input);
      skipped.push({ modules: modules.map((name) => prefix + name), reason: refused });
      for (const name of modules) seen.add(name);
    }
  }
  return { sites, skipped };
}

function siteOf({ columns, rows, vectors, shared }: Trace, prefix: string, channels: number): FoldSite {
  return {
    channels,
    consumers: [...columns].map(([module, of]) => ({ module: prefix + module, channels: of })),
    sources: [
      ...[...rows].map(([module, of]): FoldSource => ({ kind: 'rows', module: prefix + module, channels: of })),
      ...[...vectors].map(([tensor, { channels: of, offset }]): FoldSource => ({ kind: 'vector', tensor: prefix + tensor, channels: of, offset })),
    ],
    shared,
  };
}

function readersOf(values: BlockValues, input: string): string[] {
  return [...values.linears.values()].filter((linear) => linear.input === input).map(({ module }) => module);
}

function sharedReason({ shared }: Trace): string {
  const largest = new Map<number, number>();
  for (const channel of shared!) largest.set(channel, (largest.get(channel) ?? 0) + 1);
  return `${String(Math.max(...largest.values()))} channels read one channel of its source (grouped-query attention), so that their scales would have to agree`;
}
