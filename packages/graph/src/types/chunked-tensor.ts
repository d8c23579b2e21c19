import type { LazyTensor } from '@pare/core';

/** A lazy tensor that can also be fetched piece by piece, in order. Writers prefer this, so that a tensor need not fit in memory. */
export interface ChunkedTensor extends LazyTensor {
  chunks(): AsyncIterable<Uint8Array>;
}

/** True when a tensor comes in chunks. */
export function isChunked(tensor: LazyTensor): tensor is ChunkedTensor {
  return 'chunks' in tensor;
}
