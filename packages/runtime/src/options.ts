import { nearest, optionsJsonSchema, pareError, type JsonSchema, type OptionsSchema } from '@pare/core';
import { formatPath, valueAt } from './recipe-document.js';
import { describeValue } from './plugin-problem.js';

type Options = Readonly<Record<string, unknown>>;

/** Validated options, or everything that is wrong with them. */
export type ParsedOptions = { readonly options: Options; readonly problems?: undefined } | { readonly options?: undefined; readonly problems: readonly string[] };

/** Validates options by their schema. Misspelt names get a suggestion, wrong values are shown as they were found. */
export async function checkOptions(schema: OptionsSchema<unknown>, value: Options): Promise<ParsedOptions> {
  const misspelt = unknownNames(optionsJsonSchema(schema), value, '');
  if (misspelt.length > 0) return { problems: misspelt };
  const result = await schema['~standard'].validate(value);
  if (result.issues === undefined) return { options: result.value as Options };
  return {
    problems: result.issues.map((issue) => {
      const path = (issue.path ?? []).map((part) => (typeof part === 'object' ? part.key : part));
      if (path.length === 0) return issue.message;
      const found = valueAt(value, path);
      return `${formatPath(path)}: ${issue.message}${found === undefined ? '' : ` (found ${describeValue(found)})`}`;
    }),
  };
}

/**
 * Validates options by their schema and returns them with defaults filled in.
 * @param owner as the error names it: `technique "gptq"`
 * @throws PARE_OPTIONS_INVALID
 */
export async function parseOptions(owner: string, schema: OptionsSchema<unknown>, value: Options): Promise<Options> {
  const result = await checkOptions(schema, value);
  if (result.options === undefined) throw pareError('PARE_OPTIONS_INVALID', { owner, problems: result.problems, allowed: describeOptions(optionsJsonSchema(schema)) });
  return result.options;
}

function unknownNames(schema: JsonSchema, value: unknown, prefix: string): string[] {
  const properties = schema['properties'] as Readonly<Record<string, JsonSchema>> | undefined;
  if (properties === undefined || schema['additionalProperties'] !== false || typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const property = properties[name];
    if (property !== undefined) return unknownNames(property, inner, `${prefix}${name}.`);
    const similar = nearest(name, Object.keys(properties));
    return [`unknown option "${prefix}${name}"${similar === undefined ? '' : `, did you mean "${similar}"?`}`];
  });
}

/** One line that lists options with types and defaults, for the help of an error. */
export function describeOptions(schema: JsonSchema): string {
  const properties = Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>);
  if (properties.length === 0) return 'It has no options.';
  return `Options: ${properties.map(([name, property]) => `${name} (${describeType(property)}${property['default'] === undefined ? '' : `, default ${JSON.stringify(property['default'])}`})`).join(', ')}.`;
}

/** The values a schema allows, in a few words. */
function describeType(schema: JsonSchema): string {
  if (Array.isArray(schema['enum'])) return schema['enum'].map((value) => JSON.stringify(value)).join(' | ');
  if ('const' in schema) return JSON.stringify(schema['const']);
  for (const key of ['anyOf', 'oneOf']) {
    if (Array.isArray(schema[key])) return (schema[key] as JsonSchema[]).map(describeType).join(' or ');
  }
  const type = typeof schema['type'] === 'string' ? schema['type'] : 'any value';
  const minimum = schema['minimum'] ?? schema['exclusiveMinimum'];
  const maximum = schema['maximum'] ?? schema['exclusiveMaximum'];
  const bounded = (bound: unknown): bound is number => typeof bound === 'number' && Math.abs(bound) < Number.MAX_SAFE_INTEGER;
  if (bounded(minimum) && bounded(maximum)) return `${type} ${String(minimum)} to ${String(maximum)}`;
  if (bounded(minimum)) return `${type} from ${String(minimum)}`;
  if (bounded(maximum)) return `${type} up to ${String(maximum)}`;
  return type;
}

/** A `--set` argument: `gptq.bits=3` for every stage or evaluator of that id, `gptq[1].bits=3` for the second one. */
export interface Setting {
  readonly text: string;
  readonly owner: string;
  readonly index: number | undefined;
  readonly path: readonly string[];
  readonly value: string;
}

/** @throws PARE_RECIPE_SET_INVALID */
export function parseSetting(text: string): Setting {
  const match = /^\s*([A-Za-z0-9-]+)(?:\[(\d+)\])?\.([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)\s*=(.*)$/s.exec(text);
  if (match === null) throw pareError('PARE_RECIPE_SET_INVALID', { setting: text, problem: 'this is not technique.option=value' });
  const [, owner, index, path, value] = match;
  return { text, owner: owner!, index: index === undefined ? undefined : Number(index), path: path!.split('.'), value: value!.trim() };
}

/**
 * Options with one setting applied, its text read as the type that the schema gives the option.
 * @throws PARE_RECIPE_SET_INVALID for an unknown option or a text that is not of its type
 */
export function applySetting(setting: Setting, schema: OptionsSchema<unknown>, options: Options): Options {
  return assign(setting, optionsJsonSchema(schema), options, setting.path);
}

function assign(setting: Setting, schema: JsonSchema, options: Options, path: readonly string[]): Options {
  const properties = (schema['properties'] ?? {}) as Readonly<Record<string, JsonSchema>>;
  const [name, ...rest] = path as [string, ...string[]];
  const property = properties[name] ?? (typeof schema['additionalProperties'] === 'object' ? (schema['additionalProperties'] as JsonSchema) : undefined);
  if (property === undefined) {
    throw pareError('PARE_RECIPE_SET_INVALID', {
      setting: setting.text,
      problem: `${setting.owner} has no option "${setting.path.join('.')}"`,
      nearest: nearest(name, Object.keys(properties)),
      allowed: describeOptions(schema),
    });
  }
  if (rest.length === 0) return { ...options, [name]: readText(setting, property) };
  const inner = options[name];
  return { ...options, [name]: assign(setting, property, typeof inner === 'object' && inner !== null ? (inner as Options) : {}, rest) };
}

/** Reads a text as the first of the schema's types that it fits. */
function readText(setting: Setting, schema: JsonSchema): unknown {
  const candidates = alternatives(schema);
  for (const candidate of candidates) {
    const value = readAs(setting.value, candidate);
    if (value !== undefined) return value;
  }
  throw pareError('PARE_RECIPE_SET_INVALID', {
    setting: setting.text,
    problem: `"${setting.value}" is not a value of ${setting.path.join('.')}`,
    allowed: `Allowed: ${describeType(schema)}.`,
  });
}

function alternatives(schema: JsonSchema): JsonSchema[] {
  for (const key of ['anyOf', 'oneOf']) {
    if (Array.isArray(schema[key])) return (schema[key] as JsonSchema[]).flatMap(alternatives);
  }
  if (Array.isArray(schema['type'])) return (schema['type'] as string[]).map((type) => ({ ...schema, type }));
  return [schema];
}

/** The text as a value of one plain schema, or undefined when it cannot be. Ranges are the validator's business. */
function readAs(text: string, schema: JsonSchema): unknown {
  const fixed: readonly unknown[] | undefined = 'const' in schema ? [schema['const']] : (schema['enum'] as unknown[] | undefined);
  if (fixed !== undefined) return fixed.find((value) => String(value) === text);
  switch (schema['type']) {
    case 'integer':
    case 'number': {
      const value = text === '' ? Number.NaN : Number(text);
      return Number.isNaN(value) || (schema['type'] === 'integer' && !Number.isInteger(value)) ? undefined : value;
    }
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'null':
      return text === 'null' ? null : undefined;
    case 'array': {
      if (text.startsWith('[')) return parseJson(text);
      const items = text === '' ? [] : text.split(',').map((item) => readAs(item.trim(), (schema['items'] ?? {}) as JsonSchema));
      return items.includes(undefined) ? undefined : items;
    }
    case 'object':
      return text.startsWith('{') ? parseJson(text) : undefined;
    case 'string':
      return text;
    default:
      return parseJson(text) ?? text;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
