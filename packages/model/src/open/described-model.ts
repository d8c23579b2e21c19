import { elementCount, pareError, throwIfAborted, type DType, type Model, type TensorInfo } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { findCompanionFiles } from './companion-files.js';
import { contentsOf } from './contents.js';
import type { OpenModelOptions } from './open-model.js';
import { configFileName, describeConfig, findArchitecture, readConfig } from './read-config.js';

/** Something that was made of a model and has its configuration, but not its weights as tensors. */
export interface DescribedOptions extends OpenModelOptions {
  /** What stands for the weights, for messages. */
  readonly file: string;
  /** Bytes of what stands for the weights. */
  readonly bytes: number;
}

/**
 * Opens a folder's configuration without weights. Tensors are those that the configuration implies, in the type that it states (float32 where it states none): what the model was before
 * it was exported. Reading one fails.
 *
 * @throws PARE_FILE_UNREADABLE, PARE_CONFIG_INVALID, PARE_ARCHITECTURE_UNKNOWN; reading weights PARE_WEIGHTS_INACCESSIBLE
 */
export async function describeModel(directory: string, { architectures, files = defaultFiles, signal, file, bytes }: DescribedOptions): Promise<Model> {
  throwIfAborted(signal, `opening ${directory}`);
  const configFile = files.path.join(directory, configFileName);
  const config = await readConfig(configFile, files);
  const description = describeConfig(configFile, config, findArchitecture(configFile, config, architectures));
  const contents = contentsOf(description);
  const dtype = statedType([config['dtype'], config['torch_dtype']]);
  const tensors: TensorInfo[] = contents.tensors.map(({ name, shape }) => ({ name, dtype, shape }));
  const refuse = (): Promise<never> => Promise.reject(pareError('PARE_WEIGHTS_INACCESSIBLE', { file, wanted: 'this' }));
  return {
    name: files.path.basename(files.path.resolve(directory)),
    directory,
    files,
    config,
    description,
    companionFiles: await findCompanionFiles(directory, files),
    modules: contents.modules.map((module) => ({ ...module, dtype, form: module.sharedWith === undefined ? 'dense' : 'shared' })),
    tensors,
    parameters: tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    bytes,
    weight: refuse,
    tensor: refuse,
    denseWeight: refuse,
    has: () => false,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

const floatTypes: readonly DType[] = ['float64', 'float32', 'float16', 'bfloat16'];

function statedType(values: readonly unknown[]): DType {
  const stated = values.find((value) => typeof value === 'string')?.replace(/^torch\./, '');
  return floatTypes.find((dtype) => dtype === stated) ?? 'float32';
}
