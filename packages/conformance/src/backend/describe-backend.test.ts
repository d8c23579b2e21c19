import { operatorNames } from '@pare/graph';
import { operatorTable } from '@pare/operators';
import { beforeAll, describe, expect, it } from 'vitest';
import { failuresOf, runSuite, type SuiteTest } from '../../test/run-suite.js';
import { backendCaseNames } from './describe-backend.js';
import { nodeCaseNames, nodeCases } from './node-cases.js';

describe('the suite on backends with one fault each', () => {
  let tests: readonly SuiteTest[];
  const failures = (suite: string): ReadonlyMap<string, string> => failuresOf(tests, `backend ${suite}`);

  beforeAll(async () => {
    tests = await runSuite('faulty-backends', 'contract|test_add$|test_and2d|test_softmax_axis_0|runs every case');
  }, 120_000);

  it('passes one without', () => {
    expect([...failures('none')]).toEqual([]);
    expect(tests.filter(({ suite, passed }) => suite === 'backend none' && passed).length).toBeGreaterThan(40);
  });

  it('says where values are wrong, and by how much', () => {
    expect(failures('wrong values').get('test_add')).toMatch(
      /output "sum" at \[\d, \d, \d\] is .* and should be .* \(within 1e-7 \+ 1\.0e-3·\|expected\|\); \d+ of 60 elements are wrong/,
    );
    expect(failures('wrong values').has('test_and2d')).toBe(false);
  });

  it('says which shape was expected', () => {
    expect(failures('wrong shapes').get('test_add')).toMatch('output "sum" has shape [3, 4, 5, 1] and should have [3, 4, 5]');
  });

  it.each([
    ['leaks a tensor at every run', 'test_add', '1 device tensors are still alive after the test'],
    ['disposes its inputs', 'leaves inputs alive and unchanged, and hands outputs over', 'must not dispose them'],
    ['keeps the arrays it is given', 'copies what is written, unless it is transferred', 'is 9 and should be 1'],
    ['hands out its own arrays', 'hands out a copy at every read', 'is 7 and should be 1'],
    ['does not check inputs', 'refuses disposed tensors', 'expected PARE_TENSOR_DISPOSED'],
    ['does not check inputs', 'refuses inputs that do not fit the graph', 'checkRunInputs of @pare/core'],
    ['ignores signals', 'refuses to start when the signal has fired already', 'expected PARE_ABORTED'],
    ['says it lacks Softmax', 'test_softmax_axis_0', 'but compile compiled it all the same'],
    ['counts memory twice', 'reports memory: what lives now and the most there was', 'disposing twice must count once'],
  ])('catches one that %s, in "%s"', (suite, test, message) => {
    expect(failures(suite).get(test)).toMatch(message);
  });

  it('lists what a backend turned down without declaring it', () => {
    const found = failures('lacks Softmax silently');
    expect([...found.keys()]).toEqual(['runs every case that it does not declare as unsupported, and no other']);
    expect([...found.values()][0]).toMatch("list them in unsupported so that it is written down:\n  'test_softmax_axis_0',\n");
  });

  it('keeps ledgers honest', () => {
    const found = failures('with ledger');
    expect(found.get('test_add (known to fail: wrong values)')).toBeUndefined();
    expect(found.get('test_and2d (known to fail: none, it passes)')).toMatch('test_and2d passes now. Remove it from knownFailures');
    expect(found.get('runs every case that it does not declare as unsupported, and no other')).toMatch('no_such_case');
  });
});

describe('the cases', () => {
  it('are the 578 of the ONNX project, less the 40 of types that Pare does not have', () => {
    const names = nodeCaseNames();
    expect(names).toHaveLength(578);
    expect(names.filter(({ foreign }) => foreign)).toHaveLength(40);
    expect(nodeCases()).toHaveLength(538);
  });

  it('have names of their own', () => {
    const names = Object.values(backendCaseNames()).flat();
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  it('reach every operator of the subset', () => {
    const groups = backendCaseNames();
    expect(Object.keys(groups)).toContain('ONNX node cases');
    const covered = new Set(nodeCases().flatMap((test) => test.build().graph.nodes.map(({ operator, domain }) => `${domain}::${operator}`)));
    const standard = operatorNames.filter((name) => !name.includes('::')).map((name) => `::${name}`);
    expect(standard.filter((name) => !covered.has(name))).toEqual(['::SimplifiedLayerNormalization']);
  });

  it('find a kernel for every operator of the subset in the reference evaluator', () => {
    const keys = operatorNames.map((name) => (name.includes('::') ? name : `::${name}`));
    expect(keys.filter((key) => !operatorTable.has(key))).toEqual([]);
  });
});
