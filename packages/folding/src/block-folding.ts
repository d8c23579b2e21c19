import { float32Tensor, type ModuleHandle, type ModuleInfo, type ParameterHandle, type TechniqueContext } from '@pare/core';
import { foldChanges, type FoldChange } from './changes.js';
import { describeFoldSites } from './describe.js';
import { findFoldSites, type FoldConsumer, type FoldSite, type SkippedFold } from './sites.js';
import { storableScales } from './storable-scales.js';

/** A module that reads a site's value and is a target of the call. */
export interface FoldTarget<O> {
  readonly module: ModuleHandle<O>;
  readonly consumer: FoldConsumer;
}

/** A value that is rescaled for its targets' sake. Consumers that are no targets are adjusted and stay as exact as they were. */
export interface TargetedSite<O> {
  readonly site: FoldSite;
  /** The first one's options decide. */
  readonly targets: readonly [FoldTarget<O>, ...FoldTarget<O>[]];
}

export interface SiteChoice<O> {
  /** Sites that are not wanted, without a word; all are by default. */
  readonly wants?: ((found: TargetedSite<O>) => boolean) | undefined;
  /** Why a site is skipped; undefined for those that are taken. */
  readonly refuses?: ((found: TargetedSite<O>) => string | undefined) | undefined;
}

/**
 * The scales that one call of a technique folds into a block. All of them are found on the weights as they are; `fold` collects what they change, `changesOf` is for the technique
 * to apply to its targets, and `adjustParameters` hands in the rest. The technique `adjusts`.
 */
export class BlockFolding<O> {
  readonly #context: Pick<TechniqueContext<O>, 'model' | 'block'>;
  readonly #modules: ReadonlyMap<string, ModuleHandle<O>>;
  readonly #parameters: ReadonlyMap<string, ParameterHandle>;
  readonly #changes = new Map<string, FoldChange[]>();

  constructor(context: Pick<TechniqueContext<O>, 'model' | 'block' | 'modules' | 'parameters'>) {
    this.#context = context;
    this.#modules = new Map(context.modules.map((module) => [`${module.info.name}.weight`, module]));
    this.#parameters = new Map(context.parameters.map((parameter) => [parameter.name, parameter]));
  }

  /** The sites of the block that have a target among their consumers and can be rescaled; in words also the others, with the reason. Modules outside a described block have none. */
  sites({ wants, refuses }: SiteChoice<O> = {}): { readonly sites: readonly TargetedSite<O>[]; readonly text: string } {
    const { model, block } = this.#context;
    const described = block === undefined ? undefined : model.description.blocks[block.index];
    if (block === undefined || described === undefined) return { sites: [], text: '' };
    const found = findFoldSites(model.description, block.index);
    const sites: TargetedSite<O>[] = [];
    const skipped: SkippedFold[] = [...found.skipped];
    for (const site of found.sites) {
      const [first, ...others] = site.consumers.flatMap((consumer): FoldTarget<O>[] => {
        const module = this.#modules.get(`${consumer.module}.weight`);
        return module === undefined ? [] : [{ module, consumer }];
      });
      if (first === undefined) continue;
      const targeted: TargetedSite<O> = { site, targets: [first, ...others] };
      if (wants?.(targeted) === false) continue;
      const reason = refuses?.(targeted) ?? this.#compressedPart(site);
      if (reason === undefined) sites.push(targeted);
      else skipped.push({ modules: site.consumers.map(({ module }) => module), reason });
    }
    return { sites, text: describeFoldSites({ sites: sites.map(({ site }) => site), skipped }, described.name) };
  }

  /** What is known of a module of the block, target or not. */
  info(module: string): ModuleInfo | undefined {
    return this.#modules.get(`${module}.weight`)?.info ?? this.#parameters.get(`${module}.weight`)?.module;
  }

  /** A module's matrix [out, in] as it is before the call. */
  async weight(module: string): Promise<Float32Array> {
    const name = `${module}.weight`;
    return ((await this.#modules.get(name)?.weight()) ?? (await this.#parameters.get(name)!.value())).data;
  }

  /** Norm weights are rounded to their stored type when they are divided; these scales follow (`storableScales`), so that the function stays. */
  async storable({ sources }: FoldSite, scales: Float64Array): Promise<Float64Array> {
    for (const source of sources) {
      const parameter = source.kind === 'vector' ? this.#parameters.get(source.tensor) : undefined;
      if (source.kind === 'vector' && parameter !== undefined) return storableScales(source, (await parameter.value()).data, parameter.dtype, scales);
    }
    return scales;
  }

  /** Decides on the scales of a site. @throws as `foldChanges` */
  fold(site: FoldSite, scales: Float64Array): void {
    for (const change of foldChanges(site, scales)) {
      const list = this.#changes.get(change.tensor);
      if (list === undefined) this.#changes.set(change.tensor, [change]);
      else list.push(change);
    }
  }

  /** What the scales of all sites change in a target's matrix. */
  changesOf({ info }: ModuleHandle<O>): readonly FoldChange[] {
    return this.#changes.get(`${info.name}.weight`) ?? [];
  }

  /** Hands in norms, biases and matrices that are no targets, changed. */
  async adjustParameters(): Promise<void> {
    for (const [name, changes] of this.#changes) {
      if (this.#modules.has(name)) continue;
      const parameter = this.#parameters.get(name)!;
      const { data } = await parameter.value();
      await parameter.replace(float32Tensor(parameter.shape, changes.reduce((values, { apply }) => apply(values), data)));
    }
  }

  /** A matrix that earlier stages compressed cannot be rescaled. */
  #compressedPart({ consumers, sources }: FoldSite): string | undefined {
    for (const { module } of [...consumers, ...sources.filter((source) => source.kind === 'rows')]) {
      const form = this.info(module)?.form ?? 'dense';
      if (form !== 'dense') return `${module}.weight is ${form} already`;
    }
    return undefined;
  }
}
