import { describeTechnique } from '@pare/conformance';
import { gpuBackends, layerBench } from '@pare/testkit';
import { svdLlm } from './index.js';

describeTechnique(svdLlm, {
  ...layerBench,
  otherBackends: gpuBackends(),
  variants: {
    'a third of the numbers': { ratio: 0.33 },
    'half of the energy': { by: 'energy', energy: 0.5 },
    'more energy than pays': { by: 'energy', energy: 0.9999999 },
    'rank 1': { by: 'rank', rank: 1 },
    'strong damping': { damping: 0.1 },
    'more tokens than there are': { minimumTokens: 100_000 },
  },
  invalid: { 'nothing kept': { ratio: 0 }, 'everything kept': { ratio: 1 }, 'no damping': { damping: 0 }, 'rank 0': { rank: 0 }, 'no tokens': { minimumTokens: 0 } },
});
