import { pareError, type ModelConfig } from '@pare/core';

/** Reads the fields of a configuration's account of compressed weights, and keeps their place for messages. */
export class ConfigFields {
  readonly values: Readonly<Record<string, unknown>>;
  readonly #file: string;
  readonly #path: string;

  constructor(file: string, path: string, values: Readonly<Record<string, unknown>>) {
    this.#file = file;
    this.#path = path;
    this.values = values;
  }

  /**
   * The first of some spellings that is there, or the fallback.
   * @param allowed what is readable, for the message
   * @throws PARE_QUANTIZATION_UNSUPPORTED for a value that is not valid
   */
  read<T>(names: readonly string[], fallback: T, valid: (found: unknown) => boolean, allowed: string): T {
    const name = names.find((candidate) => this.values[candidate] !== undefined && this.values[candidate] !== null);
    const found = name === undefined ? fallback : this.values[name];
    if (!valid(found)) this.fail(name ?? names[0]!, found, allowed);
    return found as T;
  }

  /** Refuses the account as a whole, in words. @throws PARE_QUANTIZATION_UNSUPPORTED */
  reject(found: string, allowed: string): never {
    throw pareError('PARE_QUANTIZATION_UNSUPPORTED', { file: this.#file, path: this.#path, found, allowed });
  }

  /** @throws PARE_QUANTIZATION_UNSUPPORTED */
  fail(path: string, found: unknown, allowed: string): never {
    const text = found === undefined ? 'missing' : JSON.stringify(found);
    throw pareError('PARE_QUANTIZATION_UNSUPPORTED', {
      file: this.#file,
      path: path === '' ? this.#path : `${this.#path}.${path}`,
      found: text.length > 100 ? `${text.slice(0, 100)}…` : text,
      allowed,
    });
  }
}

/** True for what a JSON object becomes. */
export function isObject(value: unknown): value is Readonly<ModelConfig> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
