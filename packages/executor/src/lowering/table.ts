import type { GraphNode } from '@pare/core';
import { attentionLowerings } from './attention.js';
import { elementwiseLowerings } from './elementwise.js';
import { indexingLowerings } from './indexing.js';
import { layoutLowerings } from './layout.js';
import { lossLowerings } from './loss.js';
import type { OperatorLowering } from './lowering.js';
import { matrixLowerings } from './matrix.js';
import { normalisationLowerings } from './normalisation.js';
import { quantizationLowerings } from './quantization.js';
import { reductionLowerings } from './reduction.js';
import { windowLowerings } from './windows.js';

/** How operators are lowered, by `domain::Operator`. What is not here runs on the host. */
export const loweringTable: Readonly<Record<string, OperatorLowering>> = {
  ...elementwiseLowerings,
  ...layoutLowerings,
  ...indexingLowerings,
  ...reductionLowerings,
  ...matrixLowerings,
  ...normalisationLowerings,
  ...quantizationLowerings,
  ...windowLowerings,
  ...attentionLowerings,
  ...lossLowerings,
};

export function loweringOf(node: GraphNode): OperatorLowering | undefined {
  return loweringTable[`${node.domain === 'ai.onnx' ? '' : node.domain}::${node.operator}`];
}
