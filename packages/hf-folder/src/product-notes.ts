import { dtypeBits, type ModelSummary, type ModuleInfo, type ModulePlan, type WeightFormKind } from '@pare/core';

const megabytes = (bits: number): string => `${(bits / 8e6).toFixed(1)} MB`;

/** Forms that stand for a product of smaller matrices, and what they are called. */
const products: Partial<Readonly<Record<WeightFormKind, string>>> = { factorized: 'factorized', 'tensor-train': 'in tensor trains' };

/** True for a form that stands for a product, which loaders of Hugging Face folders do not know. */
export function isProduct(form: WeightFormKind): boolean {
  return form in products;
}

/** What such a form is called: it is … */
export function productName(form: WeightFormKind): string {
  return products[form] ?? form;
}

/** What multiplying a factorized matrix out costs: `4.2 MB instead of 2.1 MB`. */
export function costOfProduct({ shape, dtype }: ModuleInfo, { storedBits }: ModulePlan): string {
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
  return [`${String(count)} factorized ${count === 1 ? 'matrix is' : 'matrices are'} multiplied out: ${megabytes(dense)} instead of ${megabytes(factors)}, and no faster than before. Format onnx keeps the factors.`];
}
