import { describeTechnique } from '@pare/conformance';
import { gpuBackends, techniqueBench } from '@pare/testkit';
import { wanda } from './index.js';

describeTechnique(wanda, {
  ...techniqueBench,
  otherBackends: gpuBackends(),
  variants: { '2:4': { pattern: '2:4' }, '5:16': { pattern: '5:16', sparsity: 5 / 16 }, 'ten per cent': { sparsity: 0.1 }, variant: { variant: true, sparsity: 0.6 } },
  refusals: {
    'a pattern that does not divide': { options: { pattern: '4:8' }, shape: [4, 100], says: /groups of 8.*100 inputs.*groups that do: 2, 4/ },
    'a variant of a pattern': { options: { pattern: '2:4', variant: true }, shape: [4, 128], says: /variant.*unstructured/ },
    'two sparsities': { options: { pattern: '1:4', sparsity: 0.75 }, shape: [4, 128], says: /0\.25.*0\.75/ },
    'a sparsity that prunes nothing': { options: { sparsity: 0.001 }, shape: [4, 128], says: /prunes none of the inputs of an output, of which there are 128/ },
  },
  invalid: { 'nothing to prune': { sparsity: 0 }, 'everything pruned': { sparsity: 1 }, 'no pattern': { pattern: 'blocks' } },
});
