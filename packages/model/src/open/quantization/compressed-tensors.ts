import type { InputScheme, ModuleKind, QuantizationGranularity } from '@pare/core';
import { isObject, type ConfigFields } from './config-fields.js';
import { readableInputs, readInputScheme } from './input-activations.js';
import { findPackedWeight } from './packed-weight.js';
import { findPlainWeight } from './plain-weight.js';
import type { StoredQuantization } from './stored-weight.js';

/** How the weights of a config group are quantized. */
export interface PackedScheme {
  /** Name of the group in the configuration. */
  readonly group: string;
  readonly bits: number;
  /** True for 8-bit floats. */
  readonly floats: boolean;
  readonly symmetric: boolean;
  readonly granularity: QuantizationGranularity;
  /** Inputs that share a scale, for granularity `group`. */
  readonly groupSize: number | undefined;
  /** How the layers round their inputs, if they do. */
  readonly input: InputScheme | undefined;
}

interface ConfigGroup extends PackedScheme {
  readonly targets: readonly string[];
}

/** Layouts that are read. Which one a matrix has its tensors say. */
const formats: readonly string[] = ['pack-quantized', 'int-quantized', 'float-quantized', 'naive-quantized'];
const allowedFormats = formats.map((format) => `"${format}"`).join(', ');

/** The scheme of a module, or undefined when none targets it or `ignore` names it. */
type SchemeMatcher = (module: string, kind: ModuleKind) => PackedScheme | undefined;

/**
 * Reads the `quantization_config` of compressed-tensors (vllm-project/compressed-tensors, `quantization/quant_config.py`), as far as Pare reads it: integers in words or
 * one by one, 8-bit floats, inputs as they are or rounded to 8 bits. Undefined when the weights are dense.
 *
 * @throws PARE_QUANTIZATION_UNSUPPORTED naming the setting that cannot be read
 */
export function readCompressedTensorsConfig(fields: ConfigFields): StoredQuantization | undefined {
  if (fields.values['format'] === 'dense') return undefined;
  const schemeFor = new QuantizationConfigReader(fields).read();
  return {
    find(parts, { name, kind, shape, layout }) {
      const packed = parts.has('weight_packed');
      if (!packed && !parts.has('weight_scale')) return undefined;
      const scheme = schemeFor(name, kind);
      if (scheme === undefined || layout !== 'out-in') {
        const found = layout === 'out-in' ? `without a config group for "${name}", whose weights are compressed` : `for "${name}", which is no Linear`;
        return fields.reject(found, 'a config group for every compressed Linear');
      }
      if (packed && scheme.floats) return fields.reject(`with floats for "${name}", whose weights are packed`, 'floats that are stored one by one');
      return packed ? findPackedWeight(parts, shape, scheme) : findPlainWeight(parts, shape, scheme);
    },
  };
}

/** Reads one configuration. */
class QuantizationConfigReader {
  readonly #fields: ConfigFields;

  constructor(fields: ConfigFields) {
    this.#fields = fields;
  }

  read(): SchemeMatcher {
    const value = this.#fields.values;
    if (!formats.includes(value['format'] as string) && value['format'] !== 'mixed-precision') this.#fail('format', value['format'], allowedFormats);
    // These change what a forward pass computes, so weights alone would give another model.
    for (const name of ['kv_cache_scheme', 'sparsity_config', 'transform_config']) {
      if (!isEmpty(value[name])) this.#fail(name, value[name], 'null');
    }
    const groups = value['config_groups'];
    if (!isObject(groups)) return this.#fail('config_groups', groups, 'an object of config groups');
    const ignore = this.#strings('ignore', value['ignore'] ?? []);
    return matcher(
      Object.entries(groups).map(([name, group]) => this.#group(name, group)),
      ignore.map((target) => this.#target('ignore', target)),
      (group, target) => this.#target(`config_groups.${group}.targets`, target),
    );
  }

  #group(name: string, value: unknown): ConfigGroup {
    const path = `config_groups.${name}`;
    if (!isObject(value)) return this.#fail(path, value, 'an object with "targets" and "weights"');
    if (!isEmpty(value['output_activations'])) this.#fail(`${path}.output_activations`, value['output_activations'], 'null (outputs are not rounded)');
    const inputs = value['input_activations'];
    const input = isObject(inputs) && !isEmpty(inputs) ? readInputScheme(inputs) : undefined;
    if (!isEmpty(inputs) && input === undefined) this.#fail(`${path}.input_activations`, inputs, readableInputs);
    if (value['format'] !== undefined && value['format'] !== null && !formats.includes(value['format'] as string)) this.#fail(`${path}.format`, value['format'], allowedFormats);
    const weights = value['weights'];
    if (!isObject(weights)) return this.#fail(`${path}.weights`, weights, 'an object with "num_bits"');
    const setting = <T>(key: string, fallback: T, valid: (found: unknown) => boolean, allowed: string): T => {
      const found = weights[key] ?? fallback;
      if (!valid(found)) this.#fail(`${path}.weights.${key}`, found, allowed);
      return found as T;
    };
    const floats = setting<string>('type', 'int', (found) => found === 'int' || found === 'float', '"int" or "float"') === 'float';
    setting('dynamic', false, (found) => found === false, 'false');
    const bits = setting('num_bits', 8, (found) => (floats ? found === 8 : Number.isInteger(found) && (found as number) >= 2 && (found as number) <= 8), floats ? '8 (of floats)' : '2 to 8');
    const symmetric = setting('symmetric', true, (found) => (floats ? found === true : typeof found === 'boolean'), floats ? 'true (for floats)' : 'true or false');
    const size = weights['group_size'];
    const implied = typeof size === 'number' && size > 0 ? 'group' : size === -1 ? 'channel' : 'tensor';
    const granularity = setting<QuantizationGranularity>(
      'strategy',
      implied,
      (found) => ['tensor', 'channel', 'group'].includes(found as string),
      '"tensor", "channel" or "group"',
    );
    const groupSize =
      granularity === 'group' ? setting('group_size', 0, (found) => Number.isInteger(found) && (found as number) > 0, 'a positive whole number') : undefined;
    return { group: name, bits, floats, symmetric, granularity, groupSize, input, targets: this.#strings(`${path}.targets`, value['targets']) };
  }

  #strings(path: string, value: unknown): string[] {
    if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'string')) return this.#fail(path, value, 'a list of strings');
    return value as string[];
  }

  #target(path: string, target: string): Target {
    try {
      return parseTarget(target);
    } catch {
      return this.#fail(path, target, 'names, class names, or "re:" with a pattern that is also a JavaScript pattern');
    }
  }

  #fail(path: string, found: unknown, allowed: string): never {
    return this.#fields.fail(path, found, allowed);
  }
}

/** A target string: an exact name or class name, or a pattern to match from the start of the name. */
interface Target {
  readonly text: string;
  readonly pattern: RegExp | undefined;
}

/** Patterns are Python's, matched with `re.match`. The differences that occur in names are translated. @throws SyntaxError for the others */
function parseTarget(text: string): Target {
  if (!text.startsWith('re:')) return { text, pattern: undefined };
  let source = text.slice(3).replaceAll('(?P<', '(?<').replaceAll('(?P=', '\\k<').replaceAll('\\A', '^').replaceAll('\\Z', '$');
  const ignoreCase = source.startsWith('(?i)');
  if (ignoreCase) source = source.slice(4);
  return { text, pattern: new RegExp(`^(?:${source})`, ignoreCase ? 'i' : '') };
}

/** Classes of torch modules that a target may name, by our kind of module. */
const classes: Readonly<Record<ModuleKind, readonly string[]>> = {
  linear: ['Linear', 'Module'],
  head: ['Linear', 'Module'],
  router: ['Linear', 'Module'],
  embedding: ['Embedding', 'Module'],
};

/**
 * Matching as `utils/match.py` does it: names and patterns before classes, in the order of the sorted target strings; of equal targets the
 * last group counts.
 */
function matcher(groups: readonly ConfigGroup[], ignore: readonly Target[], parse: (group: string, target: string) => Target): SchemeMatcher {
  const byTarget = new Map<string, ConfigGroup>();
  for (const group of groups) for (const target of group.targets) byTarget.set(target, group);
  const targets = [...byTarget].map(([text, group]) => ({ ...parse(group.group, text), group }));
  targets.sort((a, b) => Number(a.pattern !== undefined) - Number(b.pattern !== undefined) || (a.text < b.text ? -1 : 1));
  const named = ({ text, pattern }: Target, module: string): boolean => (pattern === undefined ? text === module : pattern.test(module));
  return (module, kind) => {
    if (ignore.some((target) => named(target, module) || classes[kind].includes(target.text))) return undefined;
    return (targets.find((target) => named(target, module)) ?? targets.find(({ text }) => classes[kind].includes(text)))?.group;
  };
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (isObject(value) && Object.keys(value).length === 0);
}
