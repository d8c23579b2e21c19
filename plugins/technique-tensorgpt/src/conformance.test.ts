import { describeTechnique, randomLayer } from '@pare/conformance';
import { gpuBackends, layerBench } from '@pare/testkit';
import { tensorgpt } from './index.js';

describeTechnique(tensorgpt, {
  ...layerBench,
  kind: 'embedding',
  layers: { 'even sizes': randomLayer(24, 256, 1), 'zeros behind every row': randomLayer(33, 300, 2), 'one token': randomLayer(1, 320, 3) },
  otherBackends: gpuBackends(),
  variants: {
    'rank 1': { maxRank: 1 },
    'sizes that differ': { factors: [8, 5, 8], maxRank: 2 },
    'half of the norm': { tolerance: 0.5, maxRank: 16 },
    'less than any rank keeps': { tolerance: 1e-6, maxRank: 16 },
  },
  refusals: {
    'trains that are no smaller': { options: { maxRank: 8 }, shape: [100, 64], says: /maxRank 8 takes 168 numbers a token, and the token itself 64: maxRank up to 2 does/ },
    'sizes that are too small': { options: { factors: [4, 4] }, shape: [100, 64], says: /4×4 hold 16 numbers; its rows have 64/ },
    'sizes that are too large': { options: { factors: [2, 2, 2, 2, 2, 2, 2, 2, 2, 2] }, shape: [100, 64], says: /far more than the 64/ },
    'a single size': { options: { factors: [64] }, shape: [100, 64], says: /fold nothing/ },
    'sizes with which nothing is saved': { options: { factors: [8, 8], maxRank: 8 }, shape: [100, 64], says: /maxRank up to 3 does/ },
  },
  invalid: { 'rank 0': { maxRank: 0 }, 'all of the norm': { tolerance: 1 }, 'a size of 1': { factors: [1, 64] } },
});
