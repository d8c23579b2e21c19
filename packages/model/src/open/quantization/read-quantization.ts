import type { FileSystem, ModelConfig } from '@pare/core';
import { readConfig } from '../read-config.js';
import { readAwqConfig } from './awq.js';
import { readCompressedTensorsConfig } from './compressed-tensors.js';
import { ConfigFields, isObject } from './config-fields.js';
import { readGptqConfig } from './gptq.js';
import type { StoredQuantization } from './stored-weight.js';

/** Says what is readable, for messages. */
const readable = '"compressed-tensors", "gptq" or "awq"';

/** Files that tools wrote the account to before `config.json` had a place for it, and the method that each is of. */
const separateFiles: readonly (readonly [file: string, method: string])[] = [
  ['quantize_config.json', 'gptq'],
  ['quant_config.json', 'awq'],
];

/**
 * Reads a folder's account of compressed weights. Undefined when the weights are dense.
 *
 * @throws PARE_QUANTIZATION_UNSUPPORTED naming the method or setting that cannot be read, PARE_CONFIG_INVALID
 */
export async function readQuantization(directory: string, configFile: string, config: ModelConfig, files: FileSystem): Promise<StoredQuantization | undefined> {
  // The second is the spelling of early versions of compressed-tensors.
  const key = ['quantization_config', 'compression_config'].find((name) => config[name] !== undefined && config[name] !== null);
  if (key !== undefined) {
    const value = config[key];
    const fields = new ConfigFields(configFile, key, isObject(value) ? value : {});
    return isObject(value) ? readMethod(fields, value['quant_method']) : fields.fail('', value, `an object with quant_method ${readable}`);
  }
  for (const [name, method] of separateFiles) {
    const file = files.path.join(directory, name);
    if ((await files.status(file)) === undefined) continue;
    const value = await readConfig(file, files);
    return readMethod(new ConfigFields(file, name, value), value['quant_method'] ?? method);
  }
  return undefined;
}

function readMethod(fields: ConfigFields, method: unknown): StoredQuantization | undefined {
  switch (method) {
    case 'compressed-tensors':
      return readCompressedTensorsConfig(fields);
    case 'gptq':
      return readGptqConfig(fields);
    case 'awq':
      return readAwqConfig(fields);
    default:
      return fields.fail('quant_method', method, readable);
  }
}
