import { describeTechnique } from '@pare/conformance';
import { gpuBackends, layerBench } from '@pare/testkit';
import { sparsegpt } from './index.js';

describeTechnique(sparsegpt, {
  ...layerBench,
  otherBackends: gpuBackends(),
  variants: {
    '2:4': { pattern: '2:4' },
    '4:8 in small blocks': { pattern: '4:8', blockSize: 32 },
    'seventy per cent': { sparsity: 0.7, blockSize: 48 },
    'with four bits': { bits: 4 },
    '2:4 with three bits in groups': { pattern: '2:4', bits: 3, groupSize: 32, symmetric: true, clip: 'mse', scaleType: 'bfloat16' },
    'little damping, few tokens': { damping: 0.0001, minimumTokens: 1 },
    'a mask that costs more than it saves': { sparsity: 0.02 },
  },
  refusals: {
    'an uneven group': { options: { bits: 4, groupSize: 48 }, shape: [4, 128], says: /does not divide.*64/ },
    'a pattern that does not divide': { options: { pattern: '2:4' }, shape: [4, 126], says: /groups of 4.*126 inputs.*groups that do: 2/ },
    'a block that cuts groups': { options: { pattern: '2:4', blockSize: 50 }, shape: [4, 128], says: /blockSize 50.*52/ },
    'two sparsities': { options: { pattern: '2:4', sparsity: 0.7 }, shape: [4, 128], says: /0\.5.*0\.7/ },
    'a sparsity that prunes nothing': { options: { sparsity: 0.001 }, shape: [4, 128], says: /prunes none/ },
  },
  invalid: { 'nothing to prune': { sparsity: 0 }, 'everything pruned': { sparsity: 1 }, 'no pattern': { pattern: '4:2' }, 'sixteen bits': { bits: 16 } },
});
