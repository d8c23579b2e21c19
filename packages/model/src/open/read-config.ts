import { isPareError, nearest, pareError, type Architecture, type DecoderDescription, type ErrorData, type FileSystem, type ModelConfig } from '@pare/core';
import { applyStructure } from '../structure/structure-config.js';
import { readText } from '../store/read-file.js';

/** Name of a model's configuration file. */
export const configFileName = 'config.json';

/** Reads a folder's configuration. @throws PARE_FILE_UNREADABLE, PARE_CONFIG_INVALID */
export async function readConfig(file: string, files: FileSystem): Promise<ModelConfig> {
  const text = await readText(file, files);
  const invalid = (found: string, cause?: unknown) => pareError('PARE_CONFIG_INVALID', { file, path: 'the file', found, allowed: 'one JSON object' }, cause);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid(`not JSON (${(cause as Error).message})`, cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('not an object');
  return value as ModelConfig;
}

/** The architecture plugin for a configuration. @throws PARE_CONFIG_INVALID, PARE_ARCHITECTURE_UNKNOWN */
export function findArchitecture(file: string, config: ModelConfig, architectures: readonly Architecture[]): Architecture {
  const modelType = config['model_type'];
  const known = architectures.flatMap(({ modelTypes }) => modelTypes).sort();
  if (typeof modelType !== 'string') {
    throw pareError('PARE_CONFIG_INVALID', {
      file,
      path: 'model_type',
      found: modelType === undefined ? 'missing' : JSON.stringify(modelType),
      allowed: known.join(', '),
    });
  }
  const found = architectures.find(({ modelTypes }) => modelTypes.includes(modelType));
  if (found === undefined) throw pareError('PARE_ARCHITECTURE_UNKNOWN', { modelType, file, known, nearest: nearest(modelType, known) });
  return found;
}

/** Describes a configuration, pruned sizes included; what is wrong with it is told with the file's path. @throws PARE_CONFIG_INVALID */
export function describeConfig(file: string, config: ModelConfig, architecture: Architecture): DecoderDescription {
  try {
    return applyStructure(architecture.describe(config), config);
  } catch (error) {
    if (!isPareError(error) || error.code !== 'PARE_CONFIG_INVALID') throw error;
    throw pareError('PARE_CONFIG_INVALID', { ...(error.data as ErrorData<'PARE_CONFIG_INVALID'>), file }, error);
  }
}
