import { float32Tensor, type ModuleHandle } from '@pare/core';
import { describeTechnique, type TechniqueResult } from '../src/index.js';
import { FaultyBackend } from './faulty-backend.js';
import { faultyTechnique, type TechniqueFault } from './faulty-technique.js';

/* Run by describe-technique.test.ts, which expects all but the first of these to fail. */

const faults: readonly TechniqueFault[] = [
  'none',
  'differs from run to run',
  'stores more than planned',
  'leaves an option unexplained',
  'ignores the signal',
  'leaks',
  'divides by zero',
  'forgets a module',
  'never refuses',
];

for (const fault of faults) {
  describeTechnique(faultyTechnique(fault), {
    makeBackend: () => new FaultyBackend('none'),
    variants: { 'another factor': { factor: 0.5 } },
    refusals: { 'a large factor': { options: { factor: 1000 }, shape: [4, 128], says: /exceeds its 128 inputs/ } },
    invalid: { 'a negative factor': { factor: -1 }, 'a word': { factor: 'two' } },
    async run(technique, { modules, options, backend, seed, signal }) {
      const results = new Map<string, TechniqueResult>();
      const handles = Object.entries(modules).map(
        ([name, { weight }]) =>
          ({
            info: { name },
            options,
            weight: () => Promise.resolve(float32Tensor(weight.shape, weight.data.slice())),
            replace: (form, report = {}) => Promise.resolve(void results.set(name, { form, report })),
          }) as ModuleHandle<typeof options>,
      );
      await technique.apply({ modules: handles, backend, seed, signal } as unknown as Parameters<typeof technique.apply>[0]);
      return results;
    },
  });
}
