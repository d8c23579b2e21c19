import { defineTechnique, throwIfAborted, type ModulePlan, type TargetModule } from '@pare/core';
import { options, type TernaryOptions } from './options.js';
import { ternarize } from './ternary.js';

const groupSizeOf = ({ info, options: { groupSize } }: TargetModule<TernaryOptions>): number => (groupSize === -1 ? info.shape[1] : groupSize);

/** Ternary weight networks: every weight becomes −α, 0 or +α. */
export const ternary = defineTechnique({
  id: 'ternary',
  api: 1,
  title: 'Ternary weights',
  summary: 'Rounds every weight to minus a scale, zero, or the scale, with one scale for each group of a row.',
  family: 'quantization',
  scope: 'tensor',
  paper: 'arXiv 1605.04711',
  options,
  accepts: ['dense'],
  produces: ['quantized'],

  check: (target) => {
    const columns = target.info.shape[1];
    const groupSize = groupSizeOf(target);
    return columns % groupSize === 0 ? undefined : `groupSize ${String(groupSize)} does not divide its ${String(columns)} inputs`;
  },

  plan: (targets) =>
    targets.map((target): ModulePlan => {
      const [rows, columns] = target.info.shape;
      const groupSize = groupSizeOf(target);
      const grids = (rows * columns) / groupSize;
      return {
        module: target.info.name,
        produces: 'quantized',
        storedBits: rows * columns * 2 + grids * 16,
        bits: 2,
        groupSize,
        symmetric: true,
        groupIndex: false,
        flops: 6 * rows * columns,
        workingBytes: 5 * rows * columns + 4 * grids,
      };
    }),

  apply: async ({ modules, signal, progress }) => {
    for (const [index, module] of modules.entries()) {
      throwIfAborted(signal, 'ternary rounding');
      const [rows, columns] = module.info.shape;
      const groupSize = groupSizeOf(module);
      const { codes, scales, loss } = ternarize((await module.weight()).data, rows, columns, groupSize, module.options.threshold);
      await module.replace(
        {
          form: 'quantized',
          shape: [rows, columns],
          scheme: { bits: 2, symmetric: true, granularity: groupSize === columns ? 'channel' : 'group', groupSize },
          codes,
          scales,
          scaleType: 'float16',
          zeros: undefined,
          groupIndex: undefined,
        },
        { loss },
      );
      progress.report({ completed: index + 1, total: modules.length, unit: 'modules' });
    }
  },
});

export default ternary;
