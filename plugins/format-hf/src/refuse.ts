import { dtypeBits, type FormatRefusal, type ModelSummary, type ModuleInfo, type ModulePlan, type WeightFormKind } from '@pare/core';
import { plansCodes } from '@pare/weights';
import type { HuggingFaceOptions } from './options.js';

/** Bits whose fields never straddle a word, so that all readers agree on their layout. */
const wordAlignedBits: readonly number[] = [2, 4, 8];

/** Forms that stand for a product of smaller matrices, and what they are called. */
const products: Partial<Readonly<Record<WeightFormKind, string>>> = { factorized: 'factorized', 'tensor-train': 'in tensor trains' };

/** True for a form that stands for a product, which loaders of Hugging Face folders do not know. */
export function isProduct(form: WeightFormKind): boolean {
  return form in products;
}

/** What writing dense costs, for advice. */
const dequantizeAdvice = '"dequantize: true" of format hf writes these weights dense (large, but every loader opens it)';

/**
 * What readers of compressed-tensors' `pack-quantized` could not open, or would open as other numbers, before anything runs. With
 * `dequantize` everything can be written but new sharing between modules.
 */
export function refuseModules(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>, options: HuggingFaceOptions): readonly FormatRefusal[] {
  const refusals: FormatRefusal[] = [];
  for (const info of summary.modules) {
    const plan = plans.get(info.name);
    const found = plan === undefined ? undefined : reasonAgainst(info, plan, options);
    if (found !== undefined) refusals.push({ module: info.name, ...found });
  }
  if (!options.dequantize) refusals.push(...refuseExperts(summary, plans));
  return refusals;
}

function reasonAgainst(info: ModuleInfo, plan: ModulePlan, options: HuggingFaceOptions): Omit<FormatRefusal, 'module'> | undefined {
  if (plan.produces === 'shared') {
    if (info.sharedWith !== undefined) return undefined;
    return { reason: 'a Hugging Face folder can tie the head to the embedding, and nothing else', help: 'Leave this module out of the targets.' };
  }
  if (isProduct(plan.produces)) {
    if (options.multiplyOut) return undefined;
    return {
      reason: `it is ${products[plan.produces]!}, and loaders of Hugging Face folders know whole matrices only`,
      help: `Write format onnx, which runs the factors. Or set "multiplyOut: true" of format hf: it writes the product dense, ${costOfProduct(info, plan)}.`,
    };
  }
  if (!plansCodes(plan) || options.dequantize) return undefined;
  const refuse = (reason: string, help: string): Omit<FormatRefusal, 'module'> => ({ reason, help: `${help} Or ${dequantizeAdvice}.` });
  if (info.layout === 'in-out')
    return refuse('it is a Conv1D, and compressed-tensors reads packed weights of Linear layers only', 'Write another format (onnx).');
  if (info.kind === 'embedding') return refuse('runtimes read packed weights of Linear layers, not of embeddings', 'Leave the embedding out of the targets.');
  if (info.kind === 'router') return refuse('runtimes keep routers of experts dense', 'Leave routers out of the targets.');
  const { bits, groupSize, groupIndex } = plan;
  if (bits !== undefined && !wordAlignedBits.includes(bits) && !options.oddBits) {
    return refuse(
      `fields of ${String(bits)} bits straddle words, and readers before compressed-tensors 0.18 take them for other numbers`,
      'Choose 2, 4 or 8 bits, or set "oddBits: true" of format hf when your readers are newer.',
    );
  }
  if (groupSize !== undefined && groupSize > 0 && info.shape[1] % groupSize !== 0 && groupSize < info.shape[1]) {
    return refuse(`its ${String(info.shape[1])} inputs do not divide into groups of ${String(groupSize)}`, 'Choose a group size that divides them, or -1.');
  }
  if (groupIndex === true && !options.groupIndex) {
    return refuse(
      'its columns keep a group index, which compressed-tensors refuses since 0.19',
      'Use static groups with activation order (staticGroups: true), or set "groupIndex: true" of format hf when your readers are older.',
    );
  }
  return undefined;
}

/** What multiplying a factorized matrix out costs: `4.2 MB instead of 2.1 MB`. */
function costOfProduct({ shape, dtype }: ModuleInfo, { storedBits }: ModulePlan): string {
  const megabytes = (bits: number): string => `${(bits / 8e6).toFixed(1)} MB`;
  return `${megabytes(shape[0] * shape[1] * dtypeBits(dtype))} instead of ${megabytes(storedBits)}`;
}

/** What a user should know of products that are written dense. */
export function productNotes(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>): readonly string[] {
  let count = 0;
  let [dense, factors] = [0, 0];
  for (const { name, shape, dtype } of summary.modules) {
    const plan = plans.get(name);
    if (plan === undefined || !isProduct(plan.produces)) continue;
    count += 1;
    dense += shape[0] * shape[1] * dtypeBits(dtype);
    factors += plan.storedBits;
  }
  if (count === 0) return [];
  const megabytes = (bits: number): string => `${(bits / 8e6).toFixed(1)} MB`;
  return [`${String(count)} factorized ${count === 1 ? 'matrix is' : 'matrices are'} multiplied out: ${megabytes(dense)} instead of ${megabytes(factors)}, and no faster than before. Format onnx keeps the factors.`];
}

/** Runtimes fuse the experts of a layer into one matrix and know one symmetric scheme for all of them. */
function refuseExperts(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>): FormatRefusal[] {
  const experts = summary.modules.filter(({ expert }) => expert !== undefined);
  const quantized = experts.filter(({ name, form }) => {
    const plan = plans.get(name) ?? { produces: form };
    // Factorized ones are multiplied out, or refused for that already.
    return plansCodes(plan) && !isProduct(plan.produces);
  });
  if (quantized.length === 0) return [];
  const help = `Target all experts with the same symmetric options, or none. Or ${dequantizeAdvice}.`;
  const dense = experts.filter((info) => !quantized.includes(info));
  if (dense.length > 0)
    return dense.map(({ name }) => ({ module: name, reason: 'other experts are quantized and this one is not; runtimes want one scheme for all', help }));
  const schemeOf = (plan: ModulePlan | undefined): string =>
    `${String(plan?.bits)} bits, group size ${String(plan?.groupSize)}, ${plan?.symmetric === false ? 'asymmetric' : 'symmetric'}`;
  const first = schemeOf(plans.get(quantized[0]!.name));
  return quantized.flatMap(({ name }): FormatRefusal[] => {
    const plan = plans.get(name);
    if (plan?.symmetric === false) return [{ module: name, reason: 'runtimes read experts without zero points', help }];
    const scheme = schemeOf(plan);
    return scheme === first ? [] : [{ module: name, reason: `its scheme (${scheme}) is not that of the other experts (${first})`, help }];
  });
}
