export { DecoderGradients, type Batch, type BatchLoss, type DecoderGradientsOptions, type GradientReceiver } from './gradients.js';
export { loadParameters, parametersOf, readParameter } from './parameters.js';
export { decoderSegments, type Segment, type SegmentGraph, type SegmentOptions, type SegmentParameter } from './segments.js';
