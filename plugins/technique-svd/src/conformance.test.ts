import { describeTechnique } from '@pare/conformance';
import { gpuBackends, layerBench } from '@pare/testkit';
import { svd } from './index.js';

describeTechnique(svd, {
  ...layerBench,
  otherBackends: gpuBackends(),
  variants: {
    'a third of the numbers': { ratio: 0.33 },
    'half of the energy': { by: 'energy', energy: 0.5 },
    'more energy than pays': { by: 'energy', energy: 0.9999 },
    'rank 1': { by: 'rank', rank: 1 },
    'ranks of whole groups': { multipleOf: 4 },
  },
  refusals: {
    'an embedding’s shape': { options: { by: 'rank', rank: 3, multipleOf: 16 }, shape: [4, 64], says: /multipleOf 16 makes rank 3 larger than its smaller side, 4/ },
  },
  invalid: { 'nothing kept': { ratio: 0 }, 'everything kept': { ratio: 1 }, 'more than all energy': { energy: 1.5 }, 'rank 0': { rank: 0 }, 'no such way': { by: 'budget' } },
});
