import { describeTechnique } from '@pare/conformance';
import { gpuBackends, techniqueBench } from '@pare/testkit';
import { magnitude } from './index.js';

describeTechnique(magnitude, {
  ...techniqueBench,
  otherBackends: gpuBackends(),
  variants: {
    '2:4': { pattern: '2:4' },
    'per output': { ranking: 'row', sparsity: 0.3 },
    'the whole model': { ranking: 'global', sparsity: 0.6 },
    'outputs by l1': { unit: 'row', norm: 'l1', sparsity: 0.25 },
    'inputs by l2': { unit: 'column', sparsity: 0.125 },
    'a mask that costs more than it saves': { sparsity: 0.02 },
  },
  refusals: {
    'a pattern that does not divide': { options: { pattern: '2:4' }, shape: [4, 99], says: /groups of 4.*99 inputs; "unstructured"/ },
    'units of a pattern': { options: { pattern: '2:4', unit: 'row' }, shape: [4, 128], says: /exclude each other/ },
    'units over the model': { options: { ranking: 'global', unit: 'row' }, shape: [4, 128], says: /ranking "layer"/ },
    'a global pattern': { options: { ranking: 'global', pattern: '2:4' }, shape: [4, 128], says: /within groups/ },
    'all outputs': { options: { unit: 'row', sparsity: 0.9 }, shape: [4, 128], says: /prunes all of the outputs, of which there are 4/ },
  },
  invalid: { 'nothing to prune': { sparsity: 0 }, 'everything pruned': { sparsity: 1 }, 'no such ranking': { ranking: 'model' } },
});
