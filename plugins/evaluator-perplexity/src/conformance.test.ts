import { describeEvaluator } from '@pare/conformance';
import { evaluatorBench } from '@pare/testkit';
import { perplexity } from './index.js';

describeEvaluator(perplexity, { ...evaluatorBench, runOptions: { sequenceLength: 32, samples: 3 }, modelNames: ['grouped queries', 'experts', 'odd sizes'], invalid: { 'no window': { sequenceLength: 0 } } });
