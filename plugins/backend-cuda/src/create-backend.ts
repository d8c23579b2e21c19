import { pareError, type BackendScore, type Logger } from '@pare/core';
import { ExecutorBackend, type DevicePrograms, type DeviceTraits } from '@pare/executor';
import { columnSolver } from '@pare/solvers';
import { CudaDevice } from './device/cuda-device.js';
import { defaultCacheFolder, ModuleCache } from './device/module-cache.js';
import { createCudaColumnSolver, cudaRoutines } from './kernels/index.js';
import { cuda } from './language/cuda.js';
import { deviceInfo } from './libraries/driver.js';
import { findLibrary, remedies, type LibraryName } from './libraries/find-libraries.js';
import { loadForeignInterface, type ForeignInterface } from './libraries/foreign.js';
import { Nvrtc } from './libraries/nvrtc.js';
import { capabilityText, openDriver, openToolkitLibrary, versionText, type LibraryChoice } from './libraries/open-cuda.js';
import { libraryChoice } from './libraries/this-machine.js';
import type { CudaOptions } from './options.js';

/** What a search needs: tests put other machines in. */
export interface Surroundings {
  readonly foreign: ForeignInterface | string;
  readonly choice: LibraryChoice;
}

/** What the first GPU found here would be worth. Nothing is allocated on it. */
export async function scoreCuda(surroundings?: Surroundings): Promise<BackendScore> {
  const { foreign, choice } = surroundings ?? { foreign: await loadForeignInterface(), choice: libraryChoice(undefined) };
  if (typeof foreign === 'string') return { score: 0, reason: foreign };
  const access = openDriver(foreign, choice, 0);
  if (access.missing !== undefined) return { score: 0, reason: access.missing };
  const { facts, version } = access;
  const device = deviceInfo(facts);
  const absent = (['nvrtc', 'cublasLt'] as const).filter((name) => !isPresent(foreign, name, choice, version));
  if (absent.length > 0) {
    const list = absent.map((name) => `${name} (${remedies[name]})`).join(' and ');
    return { score: 0, reason: `compute capability ${capabilityText(facts.capability)}, driver for CUDA ${versionText(version)}, but no ${list}; "libraries" or PARE_CUDA_LIBRARIES names their folder`, device };
  }
  return { score: 80, reason: `compute capability ${capabilityText(facts.capability)}, driver for CUDA ${versionText(version)}`, device };
}

/** True where a library lies in a folder that was looked into; only without such a one is the system's loader asked. */
function isPresent(foreign: ForeignInterface, name: Exclude<LibraryName, 'cuda'>, choice: LibraryChoice, driverVersion: number): boolean {
  const served = findLibrary(name, choice.machine, choice.folders).candidates.filter(({ major }) => major === undefined || major <= Math.floor(driverVersion / 1000));
  return served.some(({ path }) => /[\\/]/.test(path)) || 'library' in openToolkitLibrary(foreign, name, choice, driverVersion);
}

export interface CreateOptions {
  readonly log?: Pick<Logger, 'warn'> | undefined;
  /** Smaller limits than the device's, to test what happens at them. */
  readonly traits?: Partial<DeviceTraits> | undefined;
  readonly surroundings?: Surroundings | undefined;
}

const unavailable = (reason: string, cause?: unknown): Error => pareError('PARE_BACKEND_UNAVAILABLE', { backend: 'cuda', reason }, cause);

/** Finds a GPU and what it needs; the function that is returned opens it. @throws PARE_BACKEND_UNAVAILABLE */
async function findDevice(options: CudaOptions, { traits, surroundings }: CreateOptions): Promise<() => CudaDevice> {
  const { foreign, choice } = surroundings ?? { foreign: await loadForeignInterface(), choice: libraryChoice(options.libraries) };
  if (typeof foreign === 'string') throw unavailable(foreign);
  const access = openDriver(foreign, choice, options.device);
  if (access.missing !== undefined) throw unavailable(access.missing);
  const nvrtc = openToolkitLibrary(foreign, 'nvrtc', choice, access.version);
  if ('missing' in nvrtc) throw unavailable(nvrtc.missing);
  const blas = openToolkitLibrary(foreign, 'cublasLt', choice, access.version);
  if ('missing' in blas) throw unavailable(blas.missing);
  const { driver, facts } = access;
  const cache = new ModuleCache(options.cache ?? defaultCacheFolder(process.env, process.platform));
  return () => {
    try {
      return new CudaDevice({ driver, facts, nvrtc: new Nvrtc(nvrtc.library), blas: blas.library, cache, traits });
    } catch (error) {
      throw unavailable(`${facts.name} cannot be opened: ${error instanceof Error ? error.message : String(error)}`, error);
    }
  };
}

/** Opens a GPU. @throws PARE_BACKEND_UNAVAILABLE */
export async function openCudaDevice(options: CudaOptions, create: CreateOptions = {}): Promise<CudaDevice> {
  return (await findDevice(options, create))();
}

/** Opens a backend on a GPU, with peers on the GPUs after it where `devices` asks for more than one. @throws PARE_BACKEND_UNAVAILABLE */
export async function createCudaBackend(options: CudaOptions, create: CreateOptions = {}): Promise<ExecutorBackend> {
  const found: (() => CudaDevice)[] = [];
  for (let index = 0; index < options.devices; index++) found.push(await findDevice({ ...options, device: options.device + index }, create));
  const opened: CudaDevice[] = [];
  try {
    for (const open of found) opened.push(open());
  } catch (error) {
    for (const device of opened) await device[Symbol.asyncDispose]();
    throw error;
  }
  const [first, ...others] = opened as [CudaDevice, ...CudaDevice[]];
  const peers = others.map((device) => backendOn(device, options, create, []));
  return backendOn(first, options, create, peers);
}

function backendOn(device: CudaDevice, options: CudaOptions, create: CreateOptions, peers: readonly ExecutorBackend[]): ExecutorBackend {
  return new ExecutorBackend({
    id: 'cuda',
    device,
    peers,
    language: cuda,
    routines: cudaRoutines(options.precision, device.capability),
    log: create.log,
    capabilities: { [columnSolver.id]: (programs: DevicePrograms) => createCudaColumnSolver(programs) },
  });
}
