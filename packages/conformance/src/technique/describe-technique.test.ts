import { float32Tensor, pareError, type ModuleHandle } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { checkTechnique, describeFinding, describeTechnique, type TechniqueConformanceOptions, type TechniqueResult } from '../index.js';
import { FaultyBackend } from '../../test/faulty-backend.js';
import { faultyTechnique, type TechniqueFault } from '../../test/faulty-technique.js';

const kit: TechniqueConformanceOptions<{ factor: number }> = {
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
          form: () => Promise.resolve({ form: 'dense', shape: weight.shape, tensor: weight }),
          statistic: ({ id: statistic }) => Promise.reject(pareError('PARE_STATISTIC_UNDECLARED', { plugin: `technique "${technique.id}"`, module: name, statistic, declared: [] })),
          replace: (form, report = {}) => Promise.resolve(void results.set(name, { form, report })),
        }) as ModuleHandle<typeof options>,
    );
    await technique.apply({ modules: handles, backend, seed, signal } as unknown as Parameters<typeof technique.apply>[0]);
    return results;
  },
};

// As authors use it: every check becomes a test.
describeTechnique(faultyTechnique('none'), kit);

describe('the suite on techniques with one fault each', () => {
  it('finds nothing in one without', async () => {
    expect(await checkTechnique(faultyTechnique('none'), kit)).toEqual([]);
  });

  it.each<[TechniqueFault, RegExp]>([
    ['differs from run to run', /is not deterministic: block\.first differs between two runs with one seed[^]*createRandom\(context\.seed\)/],
    ['stores more than planned', /plans other bytes than it stores for block\.first\n  expected: storedBits 49152[^]*found: +storedBits 98304/],
    ['plans a module twice', /plans other targets than it was given[^]*more than one for block\.first/],
    ['plans for others', /plans other targets than it was given[^]*an entry for lm_head, which the stage does not target/],
    ['leaves an option unexplained', /option factor of technique .* is not explained/],
    ['takes any option', /takes options that it does not have/],
    ['ignores the signal', /ignores cancellation[^]*worked on 3 of 3 modules after its signal had fired/],
    ['leaks', /leaks: 1 device tensors are still alive[^]*using scope = backend\.scope\(\)/],
    ['divides by zero', /makes numbers that are not finite[^]*all weights zero: element 0/],
    ['forgets a module', /forgets a module: block\.second was not replaced/],
    ['never refuses', /does not refuse what cannot work \(a large factor\)[^]*check accepted it/],
    ['changes in place', /writes outside its targets: it changes the host's own weight in place/],
    ['reads what it did not declare', /asked for statistic "gram" of block\.first, which it did not declare\n +advice: +Declared: none\. Return it from statistics\(options\) of defineTechnique[^]*\(the place it came from: at .*describe-technique\.test/],
    ['throws', /an error where none belongs[^]*no such thing[^]*faulty-technique/],
  ])('names the fault of one that %s', async (fault, message) => {
    const findings = await checkTechnique(faultyTechnique(fault), kit);
    expect(findings.map(describeFinding).join('\n')).toMatch(message);
  });
});
