import type { FormatRefusal, ModelSummary, ModuleInfo, ModulePlan } from '@pare/core';
import { structureKey } from '@pare/model';
import { plansCodes } from '@pare/weights';
import { costOfProduct, isProduct, productName } from './product-notes.js';

/** Why one module cannot be written, and what helps. */
export type Refusal = Omit<FormatRefusal, 'module'>;

/**
 * Asks about every planned module: what no Hugging Face folder can express is refused here (sharing other than a tied head, factors without `multiplyOut`), what holds codes is
 * put to `ofCodes`. So are sizes that config.json cannot state, unless `nonUniform` allows Pare's own key for them.
 */
export function refuseEach(
  format: string,
  summary: ModelSummary,
  plans: ReadonlyMap<string, ModulePlan>,
  multiplyOut: boolean,
  ofCodes: (info: ModuleInfo, plan: ModulePlan) => Refusal | undefined,
  nonUniform = false,
): FormatRefusal[] {
  const refusals: FormatRefusal[] = structureKey in summary.config && !nonUniform ? [ownSizes] : [];
  for (const info of summary.modules) {
    const plan = plans.get(info.name);
    const found = plan === undefined ? undefined : (refuseForm(format, info, plan, multiplyOut) ?? (!isProduct(plan.produces) && plansCodes(plan) ? ofCodes(info, plan) : undefined));
    if (found !== undefined) refusals.push({ module: info.name, ...found });
  }
  return refusals;
}

const ownSizes: FormatRefusal = {
  module: 'all',
  reason: 'its sizes after pruning differ between layers, or the architecture has no keys in config.json for them, so loaders would expect other shapes',
  help: 'Prune to uniform sizes, or write format onnx. Or set "nonUniform: true" of format hf: Pare opens the folder, other loaders do not.',
};

function refuseForm(format: string, info: ModuleInfo, plan: ModulePlan, multiplyOut: boolean): Refusal | undefined {
  if (plan.produces === 'shared' && info.sharedWith === undefined) {
    return { reason: 'a Hugging Face folder can tie the head to the embedding, and nothing else', help: 'Leave this module out of the targets.' };
  }
  if (isProduct(plan.produces) && !multiplyOut) {
    return {
      reason: `it is ${productName(plan.produces)}, and loaders of Hugging Face folders know whole matrices only`,
      help: `Write format onnx, which runs the factors. Or set "multiplyOut: true" of format ${format}: it writes the product dense, ${costOfProduct(info, plan)}.`,
    };
  }
  return undefined;
}

/** Why runtimes read no codes at a module's place in the model, whatever the layout; undefined where they do. */
export function placeProblem({ kind }: ModuleInfo): Refusal | undefined {
  if (kind === 'embedding') return { reason: 'runtimes read packed weights of Linear layers, not of embeddings', help: 'Leave the embedding out of the targets.' };
  if (kind === 'router') return { reason: 'runtimes keep routers of experts dense', help: 'Leave routers out of the targets.' };
  return undefined;
}

/** Why a layout of integers has no place for 8-bit floats. */
export function floatRefusal(layout: string): Refusal {
  return { reason: `its codes are 8-bit floats, and ${layout} folders hold integers`, help: 'Write format hf, which has a layout for them (float-quantized), or round to integers.' };
}

/** Why a layout has no place for layers that round their inputs. */
export function inputRefusal(layout: string): Refusal {
  return { reason: `its layer rounds its inputs, which ${layout} folders cannot say`, help: 'Write format hf or onnx, or set activations: none.' };
}

/** Why groups leave a shorter one at the end of a row; undefined when they do not. */
export function unevenGroups({ shape }: ModuleInfo, { groupSize = -1 }: Pick<ModulePlan, 'groupSize'>): Refusal | undefined {
  if (groupSize <= 0 || shape[1] % groupSize === 0 || groupSize >= shape[1]) return undefined;
  return { reason: `its ${String(shape[1])} inputs do not divide into groups of ${String(groupSize)}`, help: 'Choose a group size that divides them, or -1.' };
}

/**
 * Runtimes fuse the experts of a layer into one matrix and know one scheme for all of them.
 * @param zeros true when they read zero points of experts
 * @param advice ends the help of every refusal
 */
export function refuseExperts(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>, zeros: boolean, advice: string): FormatRefusal[] {
  const experts = summary.modules.filter(({ expert }) => expert !== undefined);
  const quantized = experts.filter(({ name, form }) => {
    const plan = plans.get(name) ?? { produces: form };
    // Factorized ones are multiplied out, or refused for that already.
    return plansCodes(plan) && !isProduct(plan.produces);
  });
  if (quantized.length === 0) return [];
  const help = `Target all experts with the same ${zeros ? '' : 'symmetric '}options, or none.${advice}`;
  const dense = experts.filter((info) => !quantized.includes(info));
  if (dense.length > 0)
    return dense.map(({ name }) => ({ module: name, reason: 'other experts are quantized and this one is not; runtimes want one scheme for all', help }));
  const schemeOf = (plan: ModulePlan | undefined): string =>
    `${String(plan?.bits)} bits, group size ${String(plan?.groupSize)}, ${plan?.symmetric === false ? 'asymmetric' : 'symmetric'}`;
  const first = schemeOf(plans.get(quantized[0]!.name));
  return quantized.flatMap(({ name }): FormatRefusal[] => {
    const plan = plans.get(name);
    if (plan?.symmetric === false && !zeros) return [{ module: name, reason: 'runtimes read experts without zero points', help }];
    const scheme = schemeOf(plan);
    return scheme === first ? [] : [{ module: name, reason: `its scheme (${scheme}) is not that of the other experts (${first})`, help }];
  });
}
