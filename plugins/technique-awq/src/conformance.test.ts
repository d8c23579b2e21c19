import { describeTechnique } from '@pare/conformance';
import { gpuBackends, techniqueBench } from '@pare/testkit';
import { awq } from './index.js';

// Layers by themselves have no operator before them, so that these runs clip and round; scales are tested on models.
describeTechnique(awq, {
  ...techniqueBench,
  modelNames: ['grouped queries', 'a tied head', 'odd sizes'],
  modelOptions: { groupSize: 32, gridPoints: 2, clipSearch: false },
  // Scales are folded into what comes before: norms, and matrices whose outputs the targets read.
  adjusts: [/norm\.weight$/, /_proj\.weight$/, /mlp\.gate\.weight$/],
  otherBackends: gpuBackends(),
  variants: {
    'three bits, symmetric': { bits: 3, symmetric: true, groupSize: 32 },
    'eight bits an output': { bits: 8, groupSize: -1, clipSearch: false },
    'groups of 64 with scales of bfloat16': { groupSize: 64, scaleType: 'bfloat16' },
    'scales alone': { quantize: false },
  },
  refusals: { 'an uneven group': { options: { groupSize: 48 }, shape: [4, 128], says: /does not divide.*64/ } },
  invalid: { 'nine bits': { bits: 9 }, 'no exponent': { gridPoints: 0 }, 'no group': { groupSize: 0 } },
});
