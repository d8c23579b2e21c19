import type { BlockHalf, ModuleHandle, ModuleInfo, ParameterHandle, TechniqueContext } from '@pare/core';
import { describeFoldSites, findFoldSites, type FoldConsumer, type FoldSite, type SkippedFold } from '@pare/folding';
import type { AwqOptions } from './options.js';

export type Handle = ModuleHandle<AwqOptions>;

/** A module that reads a site's value and is to be quantized. */
export interface ScaledTarget {
  readonly module: Handle;
  readonly consumer: FoldConsumer;
}

/** A value that is rescaled. */
export interface ScaledSite {
  readonly site: FoldSite;
  /** The consumers among the targets. Others are adjusted and stay as exact as they were. */
  readonly targets: readonly ScaledTarget[];
  /** The half of the block whose output tells how good scales are; undefined where the targets' own outputs do. */
  readonly half: BlockHalf | undefined;
}

/** What a call may change, by stored name. */
export interface Changeable {
  readonly modules: ReadonlyMap<string, Handle>;
  readonly parameters: ReadonlyMap<string, ParameterHandle>;
}

/** The sites of a block that can be rescaled and have a target among their consumers; the others with the reason. Modules outside a described block have none. */
export function findSites({ model, block }: Pick<TechniqueContext<AwqOptions>, 'model' | 'block'>, changeable: Changeable): { readonly sites: readonly ScaledSite[]; readonly text: string } {
  const described = block === undefined ? undefined : model.description.blocks[block.index];
  if (block === undefined || described === undefined) return { sites: [], text: '' };
  const found = findFoldSites(model.description, block.index);
  const sites: ScaledSite[] = [];
  const skipped: SkippedFold[] = [...found.skipped];
  for (const site of found.sites) {
    const targets = site.consumers.flatMap((consumer): ScaledTarget[] => {
      const module = changeable.modules.get(`${consumer.module}.weight`);
      return module === undefined ? [] : [{ module, consumer }];
    });
    if (targets.length === 0) continue;
    const problem = compressedPart(site, changeable);
    if (problem === undefined) sites.push({ site, targets, half: judgingHalf(site, changeable) });
    else skipped.push({ modules: site.consumers.map(({ module }) => module), reason: problem });
  }
  return { sites, text: describeFoldSites({ sites: sites.map(({ site }) => site), skipped }, described.name) };
}

/** A matrix of the site that earlier stages compressed cannot be rescaled. */
function compressedPart({ consumers, sources }: FoldSite, { modules, parameters }: Changeable): string | undefined {
  const tensors = [...consumers.map(({ module }) => `${module}.weight`), ...sources.map((source) => (source.kind === 'rows' ? `${source.module}.weight` : source.tensor))];
  for (const name of tensors) {
    const form = modules.get(name)?.info.form ?? parameters.get(name)?.module?.form ?? 'dense';
    if (form !== 'dense') return `${name} is ${form} already`;
  }
  return undefined;
}

/**
 * What the inspected module is: layers that share an input are judged by what comes of them together, the whole attention or MLP; a layer by itself, output and down projections
 * for example, by its own output.
 */
function judgingHalf({ consumers }: FoldSite, { modules, parameters }: Changeable): BlockHalf | undefined {
  const roles = consumers.map(({ module }) => (modules.get(`${module}.weight`)?.info ?? parameters.get(`${module}.weight`)?.module)?.role);
  const fused: readonly (ModuleInfo['role'] | undefined)[] = ['attention.qkv', 'mlp.gate-up'];
  if (roles.length === 1 && !fused.includes(roles[0])) return undefined;
  const halves = new Set(roles.map((role) => role?.split('.')[0]));
  const [half] = halves;
  return halves.size === 1 && (half === 'attention' || half === 'mlp') ? half : undefined;
}
