import type { JsonSchema, Plugin } from '@pare/core';

/** An option as a table shows it. */
export interface OptionDescription {
  readonly name: string;
  /** `integer, 2 to 8`, `true or false`, `"minmax" or "mse"`. */
  readonly type: string;
  /** As JSON; undefined when the option must be given. */
  readonly default: string | undefined;
  readonly description: string;
}

/** The options of an object schema, in the order they were declared. */
export function describeOptions(schema: JsonSchema): OptionDescription[] {
  const properties = (schema['properties'] ?? {}) as Readonly<Record<string, JsonSchema>>;
  const required = new Set(Array.isArray(schema['required']) ? (schema['required'] as string[]) : []);
  return Object.entries(properties).map(([name, property]) => ({
    name,
    type: describeType(property),
    default: 'default' in property ? JSON.stringify(property['default']) : required.has(name) ? undefined : 'none',
    description: typeof property['description'] === 'string' ? property['description'] : '',
  }));
}

/** A schema in words. */
export function describeType(schema: JsonSchema): string {
  if ('const' in schema) return JSON.stringify(schema['const']);
  if (Array.isArray(schema['enum'])) return alternatives((schema['enum'] as unknown[]).map((value) => JSON.stringify(value)));
  const choices = schema['anyOf'] ?? schema['oneOf'];
  if (Array.isArray(choices)) return alternatives((choices as JsonSchema[]).map(describeType));
  switch (schema['type']) {
    case 'integer':
    case 'number':
      return describeNumber(schema);
    case 'boolean':
      return 'true or false';
    case 'array':
      return `list of ${describeType((schema['items'] ?? {}) as JsonSchema)}`;
    case 'object': {
      const nested = describeOptions(schema);
      return nested.length === 0 ? 'object' : `object { ${nested.map((option) => `${option.name}: ${option.type}`).join('; ')} }`;
    }
    default:
      return typeof schema['type'] === 'string' ? schema['type'] : 'anything';
  }
}

function describeNumber(schema: JsonSchema): string {
  // Schema libraries print the bounds of safe integers; they say nothing to a reader.
  const bound = (key: string): number | undefined => {
    const value = schema[key];
    return typeof value === 'number' && Math.abs(value) < Number.MAX_SAFE_INTEGER ? value : undefined;
  };
  const [minimum, maximum, above, below] = [bound('minimum'), bound('maximum'), bound('exclusiveMinimum'), bound('exclusiveMaximum')];
  if (minimum !== undefined && maximum !== undefined) return `${String(schema['type'])}, ${String(minimum)} to ${String(maximum)}`;
  const limits = [
    minimum !== undefined ? `at least ${String(minimum)}` : above !== undefined ? `above ${String(above)}` : '',
    maximum !== undefined ? `at most ${String(maximum)}` : below !== undefined ? `below ${String(below)}` : '',
  ].filter((limit) => limit !== '');
  const step = bound('multipleOf');
  if (step !== undefined && step !== 1) limits.push(`a multiple of ${String(step)}`);
  return [String(schema['type']), ...limits].join(', ');
}

function alternatives(items: readonly string[]): string {
  const unique = [...new Set(items)];
  return unique.length < 2 ? (unique[0] ?? 'nothing') : `${unique.slice(0, -1).join(', ')} or ${unique.at(-1)!}`;
}

/** The schema of a plugin's options, undefined for kinds that take none. */
export function optionsSchemaOf(plugin: Plugin): JsonSchema | undefined {
  return 'options' in plugin ? plugin.options['~standard'].jsonSchema.input({ target: 'draft-2020-12' }) : undefined;
}
