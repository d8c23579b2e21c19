import type { Activation, ModelConfig, RotaryDescription } from './architecture.js';
import { pareError } from './errors.js';

/** A value of a configuration as an error message shows it. */
function show(value: unknown): string {
  if (value === undefined) return 'missing';
  const text = typeof value === 'object' ? JSON.stringify(value) : typeof value === 'string' ? `"${value}"` : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

const activations: Readonly<Record<string, Activation>> = {
  silu: 'silu',
  swish: 'silu',
  gelu: 'gelu',
  gelu_new: 'gelu-tanh',
  gelu_fast: 'gelu-tanh',
  gelu_pytorch_tanh: 'gelu-tanh',
  relu: 'relu',
};

/**
 * Reads a model's `config.json` for an architecture plugin. Every reader takes the key in all its spellings, newest first; the first one that is
 * present (not `undefined`) counts. A key without a fallback is required. Anything else throws PARE_CONFIG_INVALID with the key, what was found and what is allowed.
 */
export class ConfigReader {
  readonly config: ModelConfig;
  readonly file: string;

  constructor(config: ModelConfig, file = 'config.json') {
    this.config = config;
    this.file = file;
  }

  /** Refuses the configuration. `path` may name a nested key: `rope_parameters.factor`. */
  fail(path: string, found: unknown, allowed: string): never {
    throw pareError('PARE_CONFIG_INVALID', { file: this.file, path, found: show(found), allowed });
  }

  /** The first present spelling and its value, or undefined. */
  find(...keys: readonly string[]): { readonly key: string; readonly value: unknown } | undefined {
    for (const key of keys) if (this.config[key] !== undefined) return { key, value: this.config[key] };
    return undefined;
  }

  /** A whole number ≥ `minimum` (1 unless told). With a fallback, `null` counts as missing. */
  integer(keys: string | readonly string[], fallback?: number, minimum = 1): number {
    const { key, value } = this.#value(keys, fallback);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < minimum) this.fail(key, value, `a whole number of at least ${String(minimum)}`);
    return value;
  }

  /** A finite number > 0. With a fallback, `null` counts as missing. */
  positive(keys: string | readonly string[], fallback?: number): number {
    const { key, value } = this.#value(keys, fallback);
    if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) this.fail(key, value, 'a number above 0');
    return value;
  }

  /** Like `positive`, where `null` means "off" and a missing key takes the fallback. */
  positiveOrOff(keys: string | readonly string[], fallback: number | undefined): number | undefined {
    const found = this.find(...[keys].flat());
    if (found === undefined) return fallback;
    if (found.value === null) return undefined;
    return this.positive(found.key);
  }

  boolean(keys: string | readonly string[], fallback?: boolean): boolean {
    const { key, value } = this.#value(keys, fallback);
    if (typeof value !== 'boolean') this.fail(key, value, 'true or false');
    return value;
  }

  string(keys: string | readonly string[], fallback?: string): string {
    const { key, value } = this.#value(keys, fallback);
    if (typeof value !== 'string') this.fail(key, value, 'a string');
    return value;
  }

  /** A list of `length` strings, each one of `allowed`; undefined when missing or null. */
  choices<T extends string>(key: string, length: number, allowed: readonly T[]): readonly T[] | undefined {
    const value = this.config[key];
    if (value === undefined || value === null) return undefined;
    if (!Array.isArray(value) || value.length !== length) {
      this.fail(key, Array.isArray(value) ? value.length : value, `a list of ${String(length)} entries, each ${allowed.join(' or ')}`);
    }
    value.forEach((entry, index) => {
      if (!allowed.includes(entry as T)) this.fail(`${key}[${String(index)}]`, entry, allowed.join(' or '));
    });
    return value as T[];
  }

  /** Refuses a key whose value, when present and not null, is none of `allowed`. */
  require(keys: string | readonly string[], allowed: readonly unknown[], explanation: string): void {
    const found = this.find(...[keys].flat());
    if (found !== undefined && found.value !== null && !allowed.includes(found.value)) this.fail(found.key, found.value, explanation);
  }

  /** An activation function under any of transformers' names. */
  activation(keys: string | readonly string[], fallback?: string): Activation {
    const { key, value } = this.#value(keys, fallback);
    const activation = typeof value === 'string' && Object.hasOwn(activations, value) ? activations[value] : undefined;
    return activation ?? this.fail(key, value, Object.keys(activations).join(', '));
  }

  /**
   * Rotary embedding from `rope_parameters` (new) or `rope_theta` and `rope_scaling` (old).
   * @param settings.keys old spellings of the base and of the rotating fraction, where an architecture has its own
   * @param settings.partialFactor rotating fraction of a head when no key gives one; without it every dimension must rotate
   */
  rotary(
    headSize: number,
    maxPositions: number,
    settings: { readonly thetaKeys?: readonly string[]; readonly partialKeys?: readonly string[]; readonly partialFactor?: number } = {},
  ): RotaryDescription {
    const { thetaKeys = ['rope_theta'], partialKeys = ['partial_rotary_factor'], partialFactor = 1 } = settings;
    const group = ['rope_parameters', 'rope_scaling'].find((key) => this.config[key] !== undefined && this.config[key] !== null);
    const values = group === undefined ? {} : this.config[group];
    if (typeof values !== 'object' || values === null || Array.isArray(values)) return this.fail(group ?? 'rope_parameters', values, 'an object with rope_type');
    const nested = new ConfigReader({ ...this.config, ...(values as ModelConfig) }, this.file);
    const path = (key: string): string => (group !== undefined && (Object.hasOwn(values, key) || !Object.hasOwn(this.config, key)) ? `${group}.${key}` : key);
    // Keys of the group come before those of the file, whatever their spelling.
    const at = (keys: readonly string[]): string => keys.find((key) => Object.hasOwn(values, key)) ?? keys.find((key) => this.config[key] !== undefined) ?? keys[0]!;
    const number = (keys: readonly string[], fallback?: number): number => {
      const key = at(keys);
      const value = nested.config[key] ?? fallback;
      if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) return this.fail(path(key), value, 'a number above 0');
      return value;
    };

    const theta = number(['rope_theta', ...thetaKeys], 10000);
    const fraction = number(['partial_rotary_factor', ...partialKeys], partialFactor);
    const dimensions = Math.trunc(headSize * fraction);
    if (dimensions < 2 || dimensions > headSize || dimensions % 2 !== 0) {
      this.fail(path(at(['partial_rotary_factor', ...partialKeys])), fraction, `a fraction of the ${String(headSize)} dimensions of a head that is even and not 0`);
    }

    const typeKey = at(['rope_type', 'type']);
    const kind = group === undefined ? 'default' : (nested.config[typeKey] ?? 'default');
    switch (kind) {
      case 'default':
        return { theta, dimensions, scaling: { kind: 'none' } };
      case 'linear':
        return { theta, dimensions, scaling: { kind: 'linear', factor: number(['factor']) } };
      case 'llama3': {
        const lowFrequencyFactor = number(['low_freq_factor']);
        const highFrequencyFactor = number(['high_freq_factor']);
        if (highFrequencyFactor <= lowFrequencyFactor) this.fail(path('high_freq_factor'), highFrequencyFactor, `a number above low_freq_factor (${String(lowFrequencyFactor)})`);
        const originalMaxPositions = number(['original_max_position_embeddings'], maxPositions);
        return { theta, dimensions, scaling: { kind: 'llama3', factor: number(['factor']), lowFrequencyFactor, highFrequencyFactor, originalMaxPositions } };
      }
      default:
        return this.fail(path(typeKey), kind, 'default, linear or llama3');
    }
  }

  #value(keys: string | readonly string[], fallback: unknown): { key: string; value: unknown } {
    const spellings = [keys].flat();
    const found = this.find(...spellings);
    if (found === undefined || (found.value === null && fallback !== undefined)) return { key: found?.key ?? spellings[0]!, value: fallback };
    return found;
  }
}
