import { describeBackend } from '../src/index.js';
import { FaultyBackend, type Fault } from './faulty-backend.js';

/* Run by describe-backend.test.ts, which expects most of these to fail. */

const faults: readonly Fault[] = [
  'none',
  'wrong values',
  'wrong shapes',
  'leaks a tensor at every run',
  'disposes its inputs',
  'keeps the arrays it is given',
  'hands out its own arrays',
  'does not check inputs',
  'ignores signals',
  'says it lacks Softmax',
  'counts memory twice',
];

for (const fault of faults) describeBackend(fault, () => new FaultyBackend(fault));

describeBackend('lacks Softmax silently', () => new FaultyBackend('lacks Softmax'), { unsupported: ['test_and2d'] });

describeBackend('with ledger', () => new FaultyBackend('wrong values'), {
  knownFailures: {
    test_add: { reason: 'wrong values', issue: 'https://example.org/1' },
    test_and2d: { reason: 'none, it passes', issue: 'https://example.org/2' },
  },
  unsupported: ['no_such_case'],
});
