import { apiVersion, defineEvaluator, pareError, type DecoderDescription, type EvaluationContext, type EvaluationResult, type Evaluator } from '@pare/core';
import type { ComputeRequest, ModelCompute } from '@pare/model';
import { asFactorized } from './factorized.js';
import { effectiveMacs, nonzeroShares } from './effective.js';
import { computeOptions, type ComputeOptions } from './options.js';

export type { BlockCompute, ComputeRequest, ModelCompute, ModuleCompute } from '@pare/model';
export { computeOptions, type ComputeOptions } from './options.js';

/** Multiply-accumulates and FLOPs of a forward pass, from the block graphs. Weights are read only to skip their zeros. */
export const compute: Evaluator<ComputeOptions> = defineEvaluator({
  id: 'compute',
  api: apiVersion,
  title: 'Compute',
  summary: 'Multiply-accumulates and FLOPs of a forward pass at a stated length: linear layers, attention products and head, factorized layers as two products, with and without zero weights.',
  options: computeOptions,
  data: 'none',
  readsWith: ({ effective }) => (effective ? 'weights' : 'summary'),
  metrics: [
    { name: 'macs', unit: 'MAC', direction: 'lower', summary: 'multiply-accumulates of the whole sequence' },
    { name: 'flops', unit: 'FLOP', direction: 'lower', summary: '2 · macs' },
    { name: 'macsPerToken', unit: 'MAC', direction: 'lower', summary: 'macs divided by the sequence length' },
    { name: 'flopsPerToken', unit: 'FLOP', direction: 'lower', summary: '2 · macsPerToken' },
    { name: 'effectiveMacs', unit: 'MAC', direction: 'lower', summary: 'theoretical: macs without products with zero weights' },
    { name: 'effectiveFlops', unit: 'FLOP', direction: 'lower', summary: '2 · effectiveMacs' },
  ],
  evaluate,
});

export default compute;

/** Multiply-accumulates of a decoder by its description alone, block by block; no weights are needed. What is counted: `ModelCompute`. */
export async function countCompute(description: DecoderDescription, request: ComputeRequest): Promise<ModelCompute> {
  // The model library is large; importing this plugin must not load it.
  const { countModel } = await import('@pare/model');
  return countModel(description, request);
}

async function evaluate({ model, options, signal, progress }: EvaluationContext<ComputeOptions>): Promise<EvaluationResult> {
  const { sequenceLength, pastLength, effective } = options;
  const { maxPositions } = model.description;
  if (sequenceLength + pastLength > maxPositions) {
    const fix = `Lower --set compute.sequenceLength=… or compute.pastLength=…: together at most ${String(maxPositions)}.`;
    throw pareError('PARE_WINDOW_TOO_LONG', { length: sequenceLength + pastLength, positions: maxPositions, fix });
  }

  const counted = asFactorized(await countCompute(model.description, { sequenceLength, pastLength }), model);
  const onModule = (completed: number, total: number): void => {
    progress.report({ completed, total, unit: 'modules' });
  };
  const shares = effective ? await nonzeroShares(model, counted, { signal, onModule }) : undefined;

  const blocks = counted.blocks.map(({ block: name, modules, attention }, block) => {
    const linear = sum(modules.map(({ macs }) => macs));
    const nonzero = shares && sum(modules.map((module) => effectiveMacs(module, shares)));
    return { block, name, linear, attention, macs: linear + attention, ...(nonzero === undefined ? {} : { effectiveMacs: nonzero + attention }) };
  });
  const linear = sum(blocks.map((block) => block.linear));
  const attention = sum(blocks.map((block) => block.attention));
  const macs = linear + attention + counted.head.macs;
  const effectiveTotal = shares && sum(blocks.map((block) => block.effectiveMacs ?? 0)) + effectiveMacs(counted.head, shares);
  return {
    metrics: {
      macs,
      flops: 2 * macs,
      macsPerToken: macs / sequenceLength,
      flopsPerToken: (2 * macs) / sequenceLength,
      ...(effectiveTotal === undefined ? {} : { effectiveMacs: effectiveTotal, effectiveFlops: 2 * effectiveTotal }),
    },
    details: { sequenceLength, pastLength, parts: { linear, attention, head: counted.head.macs, embedding: 0 }, blocks },
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
