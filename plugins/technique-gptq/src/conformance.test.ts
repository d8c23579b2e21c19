import { describeTechnique } from '@pare/conformance';
import { gpuBackends, techniqueBench } from '@pare/testkit';
import { gptq } from './index.js';

describeTechnique(gptq, {
  ...techniqueBench,
  modelOptions: { groupSize: 32 },
  otherBackends: gpuBackends(),
  sensitive: ['dynamic groups with an index'],
  variants: {
    'three bits with zero points': { bits: 3, symmetric: false, groupSize: 32 },
    'dynamic groups with an index': { staticGroups: false, groupSize: 16 },
    'natural order, a group over two blocks': { actOrder: false, staticGroups: false, groupSize: 64, blockSize: 48 },
    'eight bits an output': { bits: 8, groupSize: -1 },
    'inputs rounded by token': { bits: 8, groupSize: -1, activations: 'dynamic-token' },
    'inputs rounded by one scale': { bits: 8, groupSize: -1, activations: 'static-tensor', scaleType: 'float16' },
    'clip search': { groupSize: 32, clip: 'mse', scaleType: 'bfloat16' },
    'little damping, few tokens': { groupSize: 64, damping: 0.0001, minimumTokens: 1 },
  },
  refusals: { 'an uneven group': { options: { groupSize: 48 }, shape: [4, 128], says: /does not divide.*64/ } },
  invalid: { 'nine bits': { bits: 9 }, 'no damping at all': { damping: -1 } },
});
