export { type DecoderScope, type RoutedRows, denseLinear } from './scope.js';
export { addNorm } from './norm.js';
export { addAttention, addSoftcap, cacheMixer, windowMask, windowMaskShape, windowMixer, type Heads, type Mixer } from './attention.js';
export { addActivation, addMlp, type ExpertMode } from './mlp.js';
export { expertModeOn } from './expert-mode.js';
export { addBlock, type BlockSurroundings } from './block.js';
export { addCachedDecoder, type CachedDecoderScope } from './cached-decoder.js';
export { buildDecoderGraph } from './decoder-graph.js';
export { addEmbedding } from './embedding.js';
export { addHead, headLayer } from './head.js';
export { computedAngles, constantAngles, rotaryFrequencies, type RotaryAngles } from './rotary.js';
export { blockPrefix, relativeBlock } from './relative.js';
export {
  buildBlockGraph,
  buildCalibrationGraph,
  type BlockConstant,
  type BlockGraph,
  type BlockGraphOptions,
  type BlockParameter,
  type CalibrationGraph,
  type CaptureGroup,
  type CaptureRequest,
} from './block-graph.js';
export { buildHalfDistanceGraph, buildHalfGraph, buildHalfInputGraph } from './half-graph.js';
export { buildLikelihoodGraph, buildLogitsGraph, headInputs, type HeadGraphOptions } from './head-graph.js';
