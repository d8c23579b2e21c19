import { beforeAll, describe, expect, it } from 'vitest';
import { failuresOf, runSuite, type SuiteTest } from '../../test/run-suite.js';

describe('the suite on techniques with one fault each', () => {
  let tests: readonly SuiteTest[];
  const failures = (fault: string): ReadonlyMap<string, string> => failuresOf(tests, `technique faulty-${fault.replaceAll(' ', '-')}`);

  beforeAll(async () => {
    tests = await runSuite('faulty-techniques');
  }, 120_000);

  it('passes one without', () => {
    expect([...failures('none')]).toEqual([]);
    expect(tests.filter(({ suite, passed }) => suite === 'technique faulty-none' && passed).length).toBeGreaterThan(18);
  });

  it.each([
    ['differs from run to run', 'gives the same result for the same seed', 'differs between two runs with one seed'],
    ['stores more than planned', 'does what it planned', 'storedBits'],
    ['leaves an option unexplained', 'have a description and a default each, and refuse unknown ones', 'option factor needs a description'],
    ['ignores the signal', 'does not start when it was cancelled before', 'call throwIfAborted'],
    ['leaks', 'does what it planned', 'device tensors are still alive after the test'],
    ['divides by zero', 'takes layers without weight, without signal and with outliers', 'all weights zero: element 0 is not finite'],
    ['forgets a module', 'does what it planned', 'every module must be replaced once'],
    ['never refuses', 'are refused by check before any work: a large factor', 'check accepted it'],
  ])('catches one that %s, in "%s"', (fault, test, message) => {
    expect(failures(fault).get(test)).toMatch(message);
  });
});
