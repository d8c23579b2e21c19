import { describeTechnique } from '@pare/conformance';
import { gpuBackends, techniqueBench } from '@pare/testkit';
import { rtn } from './index.js';

describeTechnique(rtn, {
  ...techniqueBench,
  modelOptions: { groupSize: 32 },
  otherBackends: gpuBackends(),
  variants: {
    'three bits with zero points': { bits: 3, symmetric: false, groupSize: 32 },
    'eight bits an output': { bits: 8, granularity: 'channel' },
    '8-bit floats an output': { bits: 8, numbers: 'float8-e4m3', granularity: 'channel' },
    'inputs rounded by token': { bits: 8, granularity: 'channel', activations: 'dynamic-token' },
    'one grid for the matrix, clip search': { granularity: 'tensor', clip: 'mse' },
    'float16 scales, clip search': { groupSize: 16, clip: 'mse', scaleType: 'float16' },
  },
  refusals: { 'an uneven group': { options: { groupSize: 48 }, shape: [4, 128], says: /does not divide.*64/ } },
  invalid: { 'nine bits': { bits: 9 }, 'group size 0': { groupSize: 0 }, 'a static grid of inputs without data': { activations: 'static-tensor' } },
});
