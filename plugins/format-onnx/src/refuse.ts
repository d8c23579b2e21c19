import type { FormatRefusal, ModelSummary, ModulePlan } from '@pare/core';
import { plannedShapes, plansCodes } from '@pare/weights';
import type { OnnxOptions } from './options.js';
import { resolveVariants } from './variants.js';

/** Where a factorized weight has its place in a graph. */
export const factorizedKinds = 'factorized linear layers and heads; embeddings are looked up row by row';

/** Where tensor trains have their place in a graph. */
export const trainKinds = 'tensor trains of embeddings; every row that is looked up is multiplied out by itself';

/** What of a plan cannot be written. Multiplied-out variants take anything; packed ones need blocks of at least 16 inputs on one grid. */
export function refuse(summary: ModelSummary, plans: ReadonlyMap<string, ModulePlan>, options: OnnxOptions): FormatRefusal[] {
  const embeddings = summary.modules.filter(({ name, kind }) => kind === 'embedding' && plans.get(name)?.produces === 'factorized');
  if (embeddings.length > 0) {
    return embeddings.map(({ name }) => ({ module: name, reason: `a factorized embedding; ONNX takes ${factorizedKinds}`, help: 'Leave the embedding out of the targets.' }));
  }
  const trains = summary.modules.filter(({ name, kind }) => kind !== 'embedding' && plans.get(name)?.produces === 'tensor-train');
  if (trains.length > 0) return trains.map(({ name, kind }) => ({ module: name, reason: `a ${kind} matrix in tensor trains; ONNX takes ${trainKinds}`, help: 'Target embeddings only.' }));
  const quantized = summary.modules.filter(({ name, form, sharedWith }) => sharedWith === undefined && plansCodes(plans.get(name) ?? { produces: form }));
  const widths = quantized.map(({ name }) => plans.get(name)?.bits ?? 4);
  const packed = resolveVariants(options.dtype, widths).filter((variant) => variant.packed);
  if (packed.length === 0) return [];
  if (quantized.length === 0) {
    return packed.map(({ dtype }) => ({
      module: 'all',
      reason: `dtype ${dtype} keeps quantized modules packed, and no module is quantized`,
      help: 'Add a stage that quantizes (technique rtn or gptq), or choose dtype fp32 or fp16.',
    }));
  }
  return quantized.flatMap(({ name, shape }): FormatRefusal[] => {
    const plan = plans.get(name);
    if (plan === undefined) return [];
    if (plan.numbers === 'float8-e4m3') {
      return [{ module: name, reason: 'its codes are 8-bit floats, and MatMulNBits knows integers', help: 'Choose dtype fp32 or fp16, write format hf, or round to integers.' }];
    }
    if (plan.groupIndex === true) {
      return [
        {
          module: name,
          reason: 'its columns are grouped in another order than they stand, and MatMulNBits has no group index that every runtime reads',
          help: 'Set staticGroups: true (or actOrder: false), or choose dtype fp32 or fp16.',
        },
      ];
    }
    const { groupSize = -1 } = plan;
    const widths = (plannedShapes(shape, plan) ?? [shape]).map(([, width]) => width);
    if (groupSize === -1 || groupSize % 16 === 0 || widths.every((width) => groupSize >= width)) return [];
    return [
      {
        module: name,
        reason: `groups of ${String(groupSize)} inputs are not made of blocks of 16, the smallest that MatMulNBits knows`,
        help: 'Choose a group size that is a multiple of 16, or -1; or choose dtype fp32 or fp16.',
      },
    ];
  });
}
