import { nearest } from '@pare/core';
import { elementwiseOperators } from './elementwise.js';
import { matrixOperators } from './matrix.js';
import { microsoftOperators } from './microsoft.js';
import { canonicalDomain, operatorKey } from './operator-key.js';
import { quantizationOperators } from './quantization.js';
import { reductionOperators } from './reduction.js';
import type { OperatorSchema } from './schema.js';
import { shapingOperators } from './shaping.js';

/** Every operator of the supported subset, by key. */
export const operatorSchemas: ReadonlyMap<string, OperatorSchema> = new Map(
  [...elementwiseOperators, ...reductionOperators, ...matrixOperators, ...shapingOperators, ...quantizationOperators, ...microsoftOperators]
    .map((schema): [string, OperatorSchema] => [operatorKey(schema.name, schema.domain), schema])
    .sort(([left], [right]) => (left < right ? -1 : 1)),
);

/** The documented subset: `MatMul`, and with their domain `com.microsoft::MatMulNBits`. Sorted. */
export const operatorNames: readonly string[] = [...operatorSchemas.values()]
  .map((schema) => (schema.domain === '' ? schema.name : `${schema.domain}::${schema.name}`))
  .sort();

/** The schema of an operator, or undefined outside the subset. */
export function operatorSchema(operator: string, domain = ''): OperatorSchema | undefined {
  return operatorSchemas.get(operatorKey(operator, domain));
}

/** True when graphs may use this operator. */
export function isSupportedOperator(operator: string, domain = ''): boolean {
  return operatorSchemas.has(operatorKey(operator, domain));
}

/** The supported operator that an unknown name probably means. */
export function nearestOperator(operator: string, domain: string): string | undefined {
  const elsewhere = operatorNames.find((name) => name === operator || name.endsWith(`::${operator}`));
  if (elsewhere !== undefined) return elsewhere;
  // Names of three letters are all a few letters apart.
  if (operator.length < 4) return undefined;
  return nearest(canonicalDomain(domain) === '' ? operator : `${domain}::${operator}`, operatorNames);
}
