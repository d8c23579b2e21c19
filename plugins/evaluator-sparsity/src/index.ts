import { apiVersion, defineEvaluator, elementCount, throwIfAborted, type EvaluationContext, type EvaluationResult, type Evaluator } from '@pare/core';
import { sparsityOptions, type SparsityOptions } from './options.js';
import { holdsPattern, parsePattern } from './pattern.js';
import { countZeros } from './zeros.js';

export { sparsityOptions, type SparsityOptions } from './options.js';
export { holdsPattern, parsePattern, type Pattern } from './pattern.js';

/** Zeros of one tensor. */
export interface TensorSparsity {
  readonly tensor: string;
  readonly shape: readonly number[];
  readonly zeros: number;
  /** zeros / elements. */
  readonly sparsity: number;
  /** Of the patterns asked for, those that hold; for matrices of modules only. */
  readonly patterns?: readonly string[];
}

/** Exact zeros: over the linear layers of the blocks, over all parameters, and tensor by tensor. One tensor at a time is in memory. */
export const sparsity: Evaluator<SparsityOptions> = defineEvaluator({
  id: 'sparsity',
  api: apiVersion,
  title: 'Sparsity',
  summary: 'Share of weights that are exactly zero, over block linear layers and over all parameters, and the N:M patterns that each matrix keeps.',
  options: sparsityOptions,
  data: 'none',
  reads: 'weights',
  metrics: [
    { name: 'sparsity', unit: '', direction: 'neutral', summary: 'exact zeros of the linear layers inside blocks divided by their weights, 0 to 1' },
    { name: 'totalSparsity', unit: '', direction: 'neutral', summary: 'exact zeros of all parameters divided by all parameters, 0 to 1' },
    { name: 'nonzeroParameters', unit: 'elements', direction: 'lower', summary: 'parameters that are not zero, a tied matrix once' },
  ],
  evaluate,
});

export default sparsity;

async function evaluate({ model, options, signal, progress }: EvaluationContext<SparsityOptions>): Promise<EvaluationResult> {
  const modules = new Map(model.modules.map((module) => [`${module.name}.weight`, module]));
  const patterns = options.patterns.map((text) => ({ text, pattern: parsePattern(text)! }));
  const linear = { elements: 0, zeros: 0 };
  const all = { elements: 0, zeros: 0 };
  const tensors: TensorSparsity[] = [];
  for (const [index, { name, shape }] of model.tensors.entries()) {
    throwIfAborted(signal, 'counting zeros');
    const module = modules.get(name);
    const elements = elementCount(shape);
    // Modules come as [out, in], whatever they are stored as: patterns run along the inputs.
    const tensor = module === undefined ? await model.tensor(name) : await model.denseWeight(module.name);
    const zeros = countZeros(tensor);
    for (const sum of module?.kind === 'linear' ? [linear, all] : [all]) {
      sum.elements += elements;
      sum.zeros += zeros;
    }
    const held = module && patterns.filter(({ pattern }) => holdsPattern(tensor.data as Float32Array, module.shape[1], pattern)).map(({ text }) => text);
    tensors.push({ tensor: name, shape, zeros, sparsity: share(zeros, elements), ...(held === undefined ? {} : { patterns: held }) });
    progress.report({ completed: index + 1, total: model.tensors.length, unit: 'tensors' });
  }
  return {
    metrics: { sparsity: share(linear.zeros, linear.elements), totalSparsity: share(all.zeros, all.elements), nonzeroParameters: all.elements - all.zeros },
    details: {
      linear,
      all,
      patterns: Object.fromEntries(patterns.map(({ text }) => [text, tensors.filter((tensor) => tensor.patterns?.includes(text)).length])),
      tensors,
    },
  };
}

function share(zeros: number, elements: number): number {
  return elements === 0 ? 0 : zeros / elements;
}
