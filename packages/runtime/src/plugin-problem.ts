/** One thing that is wrong with a plugin or service. All of them are reported together in PARE_PLUGINS_INVALID. */
export interface PluginProblem {
  /** Where: `plugins[2].options`, `plugins[0] (pare-technique-x).api`. */
  readonly path: string;
  readonly found: string;
  readonly allowed: string;
  /** The exact remedy. */
  readonly fix: string;
}

/** A value as an error message names it: its type, and its content when short. */
export function describeValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (typeof value === 'function') return value.name === '' ? 'a function' : `function ${value.name}`;
  if (Array.isArray(value)) return `a list of ${String(value.length)}`;
  if (typeof value === 'object') {
    const keys = Object.keys(value);
    return `an object with ${keys.length === 0 ? 'no keys' : `keys ${keys.slice(0, 6).join(', ')}${keys.length > 6 ? ', …' : ''}`}`;
  }
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined ? typeof value : text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
