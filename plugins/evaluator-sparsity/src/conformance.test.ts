import { describeEvaluator } from '@pare/conformance';
import { evaluatorBench } from '@pare/testkit';
import { sparsity } from './index.js';

describeEvaluator(sparsity, { ...evaluatorBench });
