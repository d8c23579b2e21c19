import type { ModuleHandle, ParameterHandle, TechniqueContext } from '@pare/core';
import { describeFoldSites, findFoldSites, type FoldConsumer, type FoldSite, type SkippedFold } from '@pare/folding';
import type { SmoothquantOptions } from './options.js';

export type Handle = ModuleHandle<SmoothquantOptions>;

/** A value that is smoothed. */
export interface SmoothedSite {
  readonly site: FoldSite;
  /** The consumers among the targets; the first one's options decide. */
  readonly targets: readonly [SmoothedTarget, ...SmoothedTarget[]];
}

export interface SmoothedTarget {
  readonly module: Handle;
  readonly consumer: FoldConsumer;
}

/** What a call may change, by stored name. */
export interface Changeable {
  readonly modules: ReadonlyMap<string, Handle>;
  readonly parameters: ReadonlyMap<string, ParameterHandle>;
}

/** Inputs that come from a norm alone: no matrix takes the scales up. */
export function comesFromNorm({ sources }: FoldSite): boolean {
  return sources.every(({ kind }) => kind === 'vector');
}

/** The sites of a block that are to be smoothed, and in words also the others with the reason. */
export function findSites({ model, block }: Pick<TechniqueContext<SmoothquantOptions>, 'model' | 'block'>, changeable: Changeable): { readonly sites: readonly SmoothedSite[]; readonly text: string } {
  const described = block === undefined ? undefined : model.description.blocks[block.index];
  if (block === undefined || described === undefined) return { sites: [], text: '' };
  const found = findFoldSites(model.description, block.index);
  const sites: SmoothedSite[] = [];
  const skipped: SkippedFold[] = [...found.skipped];
  for (const site of found.sites) {
    const [first, ...others] = site.consumers.flatMap((consumer): SmoothedTarget[] => {
      const module = changeable.modules.get(`${consumer.module}.weight`);
      return module === undefined ? [] : [{ module, consumer }];
    });
    if (first === undefined || !first.module.options.smooth) continue;
    const reason = first.module.options.sites === 'norms' && !comesFromNorm(site) ? 'it comes from no norm (sites: all takes it in)' : compressedPart(site, changeable);
    if (reason === undefined) sites.push({ site, targets: [first, ...others] });
    else skipped.push({ modules: site.consumers.map(({ module }) => module), reason });
  }
  return { sites, text: describeFoldSites({ sites: sites.map(({ site }) => site), skipped }, described.name) };
}

/** A matrix beside the targets that an earlier stage compressed cannot be rescaled. */
function compressedPart({ consumers, sources }: FoldSite, { parameters }: Changeable): string | undefined {
  for (const name of [...consumers, ...sources.filter((source) => source.kind === 'rows')].map(({ module }) => `${module}.weight`)) {
    const form = parameters.get(name)?.module?.form ?? 'dense';
    if (form !== 'dense') return `${name} is ${form} already`;
  }
  return undefined;
}
