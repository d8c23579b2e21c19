import { describeTechnique } from '@pare/conformance';
import { gpuBackends, techniqueBench } from '@pare/testkit';
import { smoothquant } from './index.js';

describeTechnique(smoothquant, {
  ...techniqueBench,
  // Scales are folded into what comes before: norms, and matrices whose outputs the targets read.
  adjusts: [/norm\.weight$/, /_proj\.weight$/, /mlp\.gate\.weight$/],
  otherBackends: gpuBackends(),
  variants: {
    'static activations, one grid a matrix': { activations: 'static-tensor', granularity: 'tensor', minimumTokens: 1 },
    'weights only': { activations: 'none', scaleType: 'float16' },
    'all sites, all difficulty to the weights': { strength: 1, sites: 'all' },
    'rounding only': { smooth: false, activations: 'static-tensor' },
  },
  refusals: { 'nothing to do': { options: { smooth: false, quantize: false }, shape: [4, 128], says: /both false/ } },
  invalid: { 'a strength above 1': { strength: 1.1 }, 'a negative strength': { strength: -0.1 } },
});
