import type { DecoderDescription, LinearDescription } from '@pare/core';
import type { Value } from '@pare/graph';
import { addSoftcap } from './attention.js';
import { addNorm } from './norm.js';
import type { DecoderScope } from './scope.js';

/** The head's matrix as a linear layer [vocabulary, hidden]; a tied head is the embedding's. Its bias is not the layer's, because a tied head may have one all the same. */
export function headLayer({ head, embedding, hiddenSize, vocabularySize }: DecoderDescription): LinearDescription {
  return { module: head.tied ? embedding.module : head.module, inFeatures: hiddenSize, outFeatures: vocabularySize, bias: false, layout: 'out-in' };
}

/** Logits of hidden states [..., hidden] → [..., vocabulary], or of some rows of the vocabulary when `layer` has only those. */
export function addHead(scope: DecoderScope, description: DecoderDescription, hidden: Value, layer: LinearDescription = headLayer(description)): Value {
  const { head } = description;
  const normed = addNorm(scope, description.finalNorm, hidden, description.hiddenSize);
  const products = scope.linear(normed, layer);
  const logits = head.bias ? scope.builder.add(products, scope.parameter(`${head.module}.bias`, [layer.outFeatures])) : products;
  return head.softcap === undefined ? logits : addSoftcap(scope, logits, head.softcap);
}
