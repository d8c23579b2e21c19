import type { Model } from '@pare/core';
import { readText } from '../store/read-file.js';
import { configFileName } from './read-config.js';

/** Strings and numbers of a JSON text; strings first, so that digits inside them are not taken for numbers. */
const tokens = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Starts a string that stands for a number; no configuration has it. */
const literalMark = '\u0001';

/**
 * The text of a model's `config.json` with some keys changed, or removed where undefined. Numbers keep their spelling: JavaScript reads
 * `30.0` as 30, and transformers refuses a whole number where it wants a float.
 *
 * @throws PARE_FILE_UNREADABLE
 */
export async function configText(model: Pick<Model, 'directory' | 'files' | 'config'>, changes: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const source = await readText(model.files.path.join(model.directory, configFileName), model.files);
  const plain = JSON.parse(source) as Record<string, unknown>;
  const spelt = JSON.parse(
    source.replace(tokens, (token) => (token.startsWith('"') || String(Number(token)) === token ? token : JSON.stringify(literalMark + token))),
  ) as Record<string, unknown>;
  const config = { ...model.config, ...changes };
  for (const key of Object.keys(config)) if (JSON.stringify(config[key]) === JSON.stringify(plain[key])) config[key] = spelt[key];
  return `${JSON.stringify(config, undefined, 2).replace(/"\\u0001([^"]*)"/g, '$1')}\n`;
}
