export { remainingShape } from './kept-indices.js';
export { sliceModel } from './sliced-model.js';
export { resizeDescription, sizesOf, type BlockSizes, type DecoderSizes } from './resize-description.js';
export { structureKey } from './structure-config.js';
