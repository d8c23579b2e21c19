import { apiVersion, defineTechnique, float32Tensor, throwIfAborted, type DeviceTensor, type OptionsSchema, type Technique } from '@pare/core';
import { z } from 'zod';

/** What can be wrong with a technique. */
export type TechniqueFault =
  | 'none'
  | 'differs from run to run'
  | 'stores more than planned'
  | 'plans a module twice'
  | 'plans for others'
  | 'leaves an option unexplained'
  | 'takes any option'
  | 'ignores the signal'
  | 'leaks'
  | 'divides by zero'
  | 'forgets a module'
  | 'never refuses'
  | 'changes in place'
  | 'throws'
  | 'reads what it did not declare';

const factor = z.number().positive().default(2);
const described = z.strictObject({ factor: factor.describe('What weights are scaled by, and back.') });
const schemas: Partial<Record<TechniqueFault, OptionsSchema<{ factor: number }>>> = {
  'leaves an option unexplained': z.strictObject({ factor }),
  'takes any option': z.object({ factor: factor.describe('What weights are scaled by, and back.') }),
};

/** Scales every weight to its largest and back: changes nothing but rounding. With one thing wrong at a time. */
export function faultyTechnique(fault: TechniqueFault): Technique<{ factor: number }> {
  const kept: DeviceTensor[] = [];
  return defineTechnique<{ factor: number }>({
    id: `faulty-${fault.replaceAll(' ', '-')}`,
    api: apiVersion,
    title: 'Faulty',
    summary: 'Divides weights by their largest and multiplies them again.',
    family: 'quantization',
    scope: 'tensor',
    options: schemas[fault] ?? described,
    accepts: ['dense'],
    produces: ['dense'],
    check: ({ info, options }) =>
      fault !== 'never refuses' && options.factor > info.shape[1] ? `factor ${String(options.factor)} exceeds its ${String(info.shape[1])} inputs` : undefined,
    plan: (targets) => {
      const entries = targets.map(({ info }) => {
        const weights = info.shape[0] * info.shape[1];
        return {
          module: info.name,
          produces: 'dense' as const,
          storedBits: weights * (fault === 'stores more than planned' ? 16 : 32),
          flops: 2 * weights,
          workingBytes: 4 * weights,
        };
      });
      if (fault === 'plans a module twice') return [...entries, entries[0]!];
      return fault === 'plans for others' ? [...entries, { ...entries[0]!, module: 'lm_head' }] : entries;
    },
    async apply({ modules, signal, backend }) {
      if (fault === 'leaks') kept.push(backend.allocate('float32', [1]));
      if (fault === 'throws') throw new TypeError('no such thing');
      for (const [index, module] of modules.entries()) {
        if (fault !== 'ignores the signal') throwIfAborted(signal, 'scaling');
        if (fault === 'forgets a module' && index === 1) continue;
        if (fault === 'reads what it did not declare') await module.statistic({ $$type: '@pare/statistic', id: 'gram' });
        const { data, shape } = await module.weight();
        const largest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const scale = largest === 0 && fault !== 'divides by zero' ? 1 : largest;
        const noise = fault === 'differs from run to run' ? Math.random() : 0;
        if (fault === 'changes in place') {
          const form = await module.form();
          if (form.form === 'dense') (form.tensor.data as Float32Array)[0]! += 1;
        }
        await module.replace({
          form: 'dense',
          shape,
          tensor: float32Tensor(
            shape,
            data.map((value) => (value / scale) * scale + noise),
          ),
        });
      }
    },
  });
}
