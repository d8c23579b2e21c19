import { apiVersion, defineTechnique, float32Tensor, throwIfAborted, type DeviceTensor, type Technique } from '@pare/core';
import { z } from 'zod';

/** What can be wrong with a technique. */
export type TechniqueFault =
  | 'none'
  | 'differs from run to run'
  | 'stores more than planned'
  | 'leaves an option unexplained'
  | 'ignores the signal'
  | 'leaks'
  | 'divides by zero'
  | 'forgets a module'
  | 'never refuses';

const described = z.strictObject({ factor: z.number().positive().default(2).describe('What weights are scaled by, and back.') });
const unexplained = z.strictObject({ factor: z.number().positive().default(2) });

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
    options: fault === 'leaves an option unexplained' ? unexplained : described,
    accepts: ['dense'],
    produces: ['dense'],
    check: ({ info, options }) =>
      fault !== 'never refuses' && options.factor > info.shape[1] ? `factor ${String(options.factor)} exceeds its ${String(info.shape[1])} inputs` : undefined,
    plan: (targets) =>
      targets.map(({ info }) => {
        const weights = info.shape[0] * info.shape[1];
        return {
          module: info.name,
          produces: 'dense',
          storedBits: weights * (fault === 'stores more than planned' ? 16 : 32),
          flops: 2 * weights,
          workingBytes: 4 * weights,
        };
      }),
    async apply({ modules, signal, backend }) {
      if (fault === 'leaks') kept.push(backend.allocate('float32', [1]));
      for (const [index, module] of modules.entries()) {
        if (fault !== 'ignores the signal') throwIfAborted(signal, 'scaling');
        if (fault === 'forgets a module' && index === 1) continue;
        const { data, shape } = await module.weight();
        const largest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const scale = largest === 0 && fault !== 'divides by zero' ? 1 : largest;
        const noise = fault === 'differs from run to run' ? Math.random() : 0;
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
