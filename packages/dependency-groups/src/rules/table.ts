import { elementwiseRules } from './elementwise.js';
import { matrixRules } from './matrix.js';
import { reductionRules } from './reduction.js';
import type { NodeContext, Rule } from './rule.js';
import { shapingRules } from './shaping.js';

const rules: ReadonlyMap<string, Rule> = new Map(Object.entries({ ...elementwiseRules, ...reductionRules, ...matrixRules, ...shapingRules }));

/** Nothing is known of it, so nothing that it touches may change. */
function unknown(node: NodeContext): void {
  for (const value of [...node.inputs, ...node.outputs]) node.fixAll(value, 'no rule says what its removal means here');
}

export function ruleOf(operator: string, domain: string): Rule {
  return rules.get(domain === '' || domain === 'ai.onnx' ? operator : `${domain}::${operator}`) ?? unknown;
}
