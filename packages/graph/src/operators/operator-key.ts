/** The key of an operator in every table of operators: `domain::Operator`, with the empty domain for ONNX's own: `::MatMul`, `com.microsoft::Gelu`. */
export function operatorKey(operator: string, domain: string): string {
  return `${canonicalDomain(domain)}::${operator}`;
}

/** ONNX's own operator set has two spellings. */
export function canonicalDomain(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain;
}
