import { pareError, type Backend, type DeviceTensor, type FileSystem, type HostTensor } from '@pare/core';
import { SafetensorsFile, writeSafetensors, type TensorEntry } from '@pare/model';

/** Where a training stands after some steps. Data order and random numbers follow from the step. */
export interface TrainingState {
  /** Finished steps. */
  readonly step: number;
  /** Loss of each finished step. */
  readonly losses: readonly number[];
}

export interface CheckpointPlace {
  /** The file; one that is there is replaced when a later one is complete. */
  readonly path: string;
  readonly files: FileSystem;
  /** Text that two runs share only if one may go on where the other stopped. */
  readonly identity: string;
}

const [parameterPrefix, statePrefix] = ['parameter.', 'state.'];

/**
 * Writes trained parameters and the optimizer's state into one safetensors file, which appears under its name when it is complete: after a crash the previous one is there.
 * @throws PARE_DISK_FULL, PARE_FILE_UNWRITABLE
 */
export async function writeCheckpoint(
  backend: Backend,
  { path, files, identity }: CheckpointPlace,
  state: TrainingState,
  parameters: ReadonlyMap<string, DeviceTensor>,
  optimizer: ReadonlyMap<string, DeviceTensor>,
): Promise<void> {
  const entry = (name: string, tensor: DeviceTensor): TensorEntry => ({ name, dtype: tensor.dtype, shape: tensor.shape, read: () => backend.read(tensor) });
  const entries = [
    ...[...parameters].map(([name, tensor]) => entry(parameterPrefix + name, tensor)),
    ...[...optimizer].map(([name, tensor]) => entry(statePrefix + name, tensor)),
  ];
  const folder = files.path.dirname(path);
  await files.makeFolder(folder);
  const partial = `${path}.partial`;
  // Losses as bits: text in decimal would round them.
  const losses = Array.from(new BigUint64Array(Float64Array.from(state.losses).buffer), (bits) => bits.toString(16)).join(' ');
  await writeSafetensors(partial, entries, { format: 'pt', identity, step: String(state.step), losses }, { files });
  await files.rename(partial, path);
  await files.flush(folder);
}

export interface ReadCheckpoint extends TrainingState {
  readonly parameters: ReadonlyMap<string, HostTensor>;
  readonly optimizer: ReadonlyMap<string, HostTensor>;
}

/**
 * A checkpoint, or undefined when there is none.
 * @throws PARE_RESUME_MISMATCH when it is of another run; PARE_SAFETENSORS_… when it is damaged
 */
export async function readCheckpoint({ path, files, identity }: CheckpointPlace): Promise<ReadCheckpoint | undefined> {
  if ((await files.status(path)) === undefined) return undefined;
  await using file = await SafetensorsFile.open(path, files);
  const { identity: found, step = '0', losses = '' } = file.metadata;
  if (found !== identity) throw pareError('PARE_RESUME_MISMATCH', { journal: path, differences: [`it is of ${found ?? 'no training'}`, `this is ${identity}`] });
  const parameters = new Map<string, HostTensor>();
  const optimizer = new Map<string, HostTensor>();
  for (const name of file.names) {
    const tensor = await file.read(name);
    if (name.startsWith(parameterPrefix)) parameters.set(name.slice(parameterPrefix.length), tensor);
    else optimizer.set(name.slice(statePrefix.length), tensor);
  }
  const bits = BigUint64Array.from(losses === '' ? [] : losses.split(' '), (text) => BigInt(`0x${text}`));
  return { step: Number(step), losses: Array.from(new Float64Array(bits.buffer)), parameters, optimizer };
}
