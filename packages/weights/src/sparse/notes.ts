import type { ModelSummary, ModulePlan } from '@pare/core';

/**
 * What a format that writes zeros out says of a plan with sparse matrices: what they take, what masks would, and that no usual runtime gains anything.
 * @param format as a sentence names it: `a Hugging Face folder`
 */
export function sparseNotes(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>, format: string): readonly string[] {
  const sparse = summary.modules.flatMap(({ name }) => {
    const plan = plans.get(name);
    return plan?.produces === 'sparse' ? [plan] : [];
  });
  if (sparse.length === 0) return [];
  const megabytes = (bits: number): string => `${(bits / 8e6).toFixed(1)} MB`;
  const sum = (bitsOf: (plan: ModulePlan) => number): number => sparse.reduce((total, plan) => total + bitsOf(plan), 0);
  const written = sum(({ storedBits, writtenBits = storedBits }) => writtenBits);
  return [
    `${String(sparse.length)} sparse matrices are written to ${format} with their zeros, ${megabytes(written)}; masks and kept values alone would be ${megabytes(sum(({ storedBits }) => storedBits))}. ` +
      'Usual runtimes multiply by the zeros like by any number: the file is no smaller and no faster than without pruning.',
  ];
}
