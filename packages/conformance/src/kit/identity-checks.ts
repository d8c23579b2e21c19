import { apiVersion, optionsJsonSchema, type OptionsSchema, type PluginIdentity } from '@pare/core';
import { isDeepStrictEqual } from 'node:util';
import { check, type Check } from './check.js';
import type { Finding } from './finding.js';

/** Options that a suite tries. */
export interface OptionSamples {
  /** Options to try besides the defaults, as a recipe would have them. */
  readonly variants?: Readonly<Record<string, unknown>>;
  /** Options that the schema must refuse. */
  readonly invalid?: Readonly<Record<string, unknown>>;
}

/** The parsed options of a schema, or what it says against them. */
export async function validateOptions<O>(schema: OptionsSchema<O>, raw: unknown): Promise<{ readonly value: O } | { readonly problems: readonly string[] }> {
  const result = await schema['~standard'].validate(raw);
  return result.issues === undefined ? { value: result.value } : { problems: result.issues.map(({ message }) => message) };
}

/** Options of a sample. @throws when the schema refuses them */
export async function parseOptions<O>(schema: OptionsSchema<O>, raw: unknown): Promise<O> {
  const result = await validateOptions(schema, raw);
  if ('value' in result) return result.value;
  throw new Error(`options ${JSON.stringify(raw)} do not fit the schema: ${result.problems.join('; ')}`);
}

/** Id, API version, title, summary. */
export function identityFindings(name: string, { id, api, title, summary }: PluginIdentity): Finding[] {
  const findings: Finding[] = [];
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(id)) findings.push({ fault: `${name} has an id that recipes and flags cannot name`, expected: 'the published name in kebab case: my-method', found: `id: ${JSON.stringify(id)}`, advice: 'change id' });
  if (api !== apiVersion) findings.push({ fault: `${name} has another API version than this kit`, expected: `api: ${String(apiVersion)}`, found: `api: ${String(api)}`, advice: 'write it for this version of @pare/core, or take the kit of the version that it is for' });
  if (title.trim() === '') findings.push({ fault: `${name} has no title`, expected: 'a name for people', found: JSON.stringify(title), advice: 'set title' });
  if (!/^.{10,}\.$/s.test(summary)) findings.push({ fault: `${name} has no summary that lists and help texts can show`, expected: 'one sentence with a full stop', found: JSON.stringify(summary), advice: 'set summary' });
  return findings;
}

interface ObjectSchema {
  readonly properties?: Readonly<Record<string, { readonly description?: string; readonly default?: unknown }>>;
}

/** What every options schema must do: describe itself, have defaults, refuse what is unknown, and survive JSON. */
export function optionChecks(name: string, schema: OptionsSchema<unknown>, { variants = {}, invalid = {} }: OptionSamples): Check[] {
  const samples = Object.entries({ defaults: {}, ...variants });
  return [
    check('options have a description and a default each, and refuse unknown ones', async () => {
      const findings: Finding[] = [];
      for (const [option, { description = '', default: fallback }] of Object.entries((optionsJsonSchema(schema) as ObjectSchema).properties ?? {})) {
        if (description.trim() === '') findings.push({ fault: `option ${option} of ${name} is not explained`, expected: 'a description', found: 'none in the JSON schema', advice: `.describe('…') on option ${option}` });
        if (fallback === undefined) findings.push({ fault: `option ${option} of ${name} has no default`, expected: 'a default, so that a recipe may leave it out', found: 'none in the JSON schema', advice: `.default(…) on option ${option}` });
      }
      const unknown = await validateOptions(schema, { 'no such option': 1 });
      if ('value' in unknown) findings.push({ fault: `${name} takes options that it does not have`, expected: 'a refusal of { "no such option": 1 }', found: 'it was accepted', advice: 'use z.strictObject, or refuse unknown keys in validate: a mistyped option must not pass' });
      return findings;
    }),
    check('options are all optional, and the defaults are those of the JSON schema', async () => {
      const declared = Object.fromEntries(Object.entries((optionsJsonSchema(schema) as ObjectSchema).properties ?? {}).map(([option, property]) => [option, property.default]));
      const defaults = await validateOptions(schema, {});
      if ('problems' in defaults) return [{ fault: `${name} cannot run without options`, expected: '{} to be accepted', found: defaults.problems.join('; '), advice: 'give every option a default' }];
      if (isDeepStrictEqual(defaults.value, declared)) return [];
      return [{ fault: `${name} documents other defaults than it has`, expected: JSON.stringify(declared), found: JSON.stringify(defaults.value), advice: 'take transforms out of the schema: what a user writes is what the plugin reads' }];
    }),
    ...samples.map(([variant, raw]) =>
      check(`options stay the same when parsed again and through JSON: ${variant}`, async () => {
        const options = await parseOptions(schema, raw);
        const round: [string, unknown][] = [['when parsed again', options], ['through JSON', JSON.parse(JSON.stringify(options))]];
        const findings: Finding[] = [];
        for (const [way, given] of round) {
          const again = await validateOptions(schema, given);
          const value = 'value' in again ? again.value : again.problems.join('; ');
          if (!isDeepStrictEqual(value, options)) findings.push({ fault: `options of ${name} do not survive a round trip: they change ${way}`, expected: JSON.stringify(options), found: JSON.stringify(value), advice: 'pare.json and journals keep options as JSON; take transforms, dates and undefined values out of the schema' });
        }
        return findings;
      }),
    ),
    ...Object.entries(invalid).map(([sample, raw]) =>
      check(`options are refused: ${sample}`, async () => {
        const result = await validateOptions(schema, raw);
        return 'problems' in result ? [] : [{ fault: `${name} takes options that it must refuse (${sample})`, expected: `a refusal of ${JSON.stringify(raw)}`, found: 'it was accepted', advice: 'narrow the schema: .min, .max, .regex, z.enum' }];
      }),
    ),
  ];
}

/** Identity and options of a plugin that has options. */
export function pluginChecks(name: string, plugin: PluginIdentity & { readonly options: OptionsSchema<unknown> }, samples: OptionSamples): Check[] {
  return [check('says who it is', () => identityFindings(name, plugin)), ...optionChecks(name, plugin.options, samples)];
}
