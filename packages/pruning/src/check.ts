import type { TargetModule } from '@pare/core';
import { patternOf, type SparsityOptions } from './options.js';

/** Inputs of a group that a refusal offers. */
const usualGroups = [2, 4, 8, 16, 32];

/** What competes with each other under an unstructured pattern. */
export interface CompetingWeights {
  /** As a refusal names them: `the inputs of an output`. */
  readonly name: string;
  readonly count: number;
  /** How many of them the technique would prune. */
  readonly pruned: number;
}

/** Why sparsity and pattern do not fit a module, or undefined when they do. */
export function checkSparsity({ info, options, before }: TargetModule<SparsityOptions>, { name, count, pruned }: CompetingWeights): string | undefined {
  if (info.form === 'quantized' && before === undefined) return 'the model holds it quantized; prune the uncompressed model, and quantize in a later stage';
  const pattern = patternOf(options);
  const { sparsity } = options;
  if (pattern.kind === 'grouped') {
    const { zeros, group } = pattern;
    const width = info.shape[1];
    if (width % group !== 0) {
      const fitting = usualGroups.filter((size) => width % size === 0);
      const offer = fitting.length === 0 ? '' : `; groups that do: ${fitting.join(', ')}`;
      return `pattern ${options.pattern} needs groups of ${String(group)}, which do not divide its ${String(width)} inputs${offer}; "unstructured" always fits`;
    }
    if (sparsity === 0.5 || sparsity === zeros / group) return undefined;
    return `pattern ${options.pattern} prunes a share of ${String(zeros / group)} and sparsity says ${String(sparsity)}; leave sparsity out, or use pattern "unstructured"`;
  }
  if (pruned <= 0) return `sparsity ${String(sparsity)} prunes none of ${name}, of which there are ${String(count)}`;
  if (pruned >= count) return `sparsity ${String(sparsity)} prunes all of ${name}, of which there are ${String(count)}: nothing would be left`;
  return undefined;
}
