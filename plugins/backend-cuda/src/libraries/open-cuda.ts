import type { DeviceFacts } from './driver.js';
import { deviceFacts, Driver, DriverError, noDevice } from './driver.js';
import { describeSearch, findLibrary, type LibraryName, type Machine } from './find-libraries.js';
import type { ForeignInterface, ForeignLibrary } from './foreign.js';

/** Version of the driver API from which on everything that is used here is there, times 1000. */
const leastDriver = 12_000;
/** Oldest compute capability that current compilers serve. */
const leastCapability = 75;

/** A driver with a device, or why there is none. */
export type Access = { readonly driver: Driver; readonly facts: DeviceFacts; readonly version: number; readonly missing?: undefined } | { readonly driver?: undefined; readonly missing: string };

export interface LibraryChoice {
  readonly machine: Machine;
  /** Folders that the user names. */
  readonly folders: readonly string[];
}

/** `13.0` for 13000. */
export function versionText(version: number): string {
  return `${String(Math.floor(version / 1000))}.${String(Math.floor((version % 1000) / 10))}`;
}

/** Opens the driver and looks at a device, without making a context on it. */
export function openDriver(foreign: ForeignInterface, { machine, folders }: LibraryChoice, index: number): Access {
  if (machine.platform !== 'linux' && machine.platform !== 'win32') return { missing: `CUDA runs on Linux and Windows, not on ${machine.platform}` };
  const search = findLibrary('cuda', machine, folders);
  const problems: string[] = [];
  for (const { path } of search.candidates) {
    let library: ForeignLibrary;
    try {
      library = foreign.open(path);
    } catch (error) {
      problems.push(reasonOf(error));
      continue;
    }
    return inspect(new Driver(foreign, library), index);
  }
  return { missing: `no NVIDIA driver: ${describeSearch('cuda', search, [])}` };
}

function inspect(driver: Driver, index: number): Access {
  try {
    const code = driver.get('cuInit')(0);
    if (code === noDevice) return { missing: 'the NVIDIA driver sees no GPU' };
    if (code !== 0) return { missing: `the NVIDIA driver does not start: ${driver.errorName(code)} (${String(code)}); nvidia-smi tells more` };
    const version = driver.make('cuDriverGetVersion');
    if (version < leastDriver) return { missing: `the NVIDIA driver is too old: it serves CUDA ${versionText(version)}, and ${versionText(leastDriver)} is needed (driver 525 or later)` };
    const count = driver.make('cuDeviceGetCount');
    if (index >= count) return { missing: count === 0 ? 'the NVIDIA driver sees no GPU' : `device ${String(index)} was asked for, and the NVIDIA driver sees ${String(count)}, numbered from 0` };
    const facts = deviceFacts(driver, index);
    if (facts.capability < leastCapability) {
      return { missing: `${facts.name} has compute capability ${capabilityText(facts.capability)}, and ${capabilityText(leastCapability)} is needed (Turing, 2018, or later)` };
    }
    return { driver, facts, version };
  } catch (error) {
    if (error instanceof DriverError) return { missing: error.message };
    throw error;
  }
}

export function capabilityText(capability: number): string {
  return `${String(Math.floor(capability / 10))}.${String(capability % 10)}`;
}

/** A library of the toolkit that the driver can serve, or why there is none. */
export function openToolkitLibrary(foreign: ForeignInterface, name: Exclude<LibraryName, 'cuda'>, choice: LibraryChoice, driverVersion: number): { readonly library: ForeignLibrary; readonly path: string } | { readonly missing: string } {
  const search = findLibrary(name, choice.machine, choice.folders);
  const most = Math.floor(driverVersion / 1000);
  const problems: string[] = [];
  for (const { path, major } of search.candidates) {
    if (major !== undefined && major > most) {
      if (/[\\/]/.test(path)) problems.push(`${path} is newer than the driver, which serves CUDA ${versionText(driverVersion)}`);
      continue;
    }
    try {
      return { library: foreign.open(path), path };
    } catch (error) {
      if (/[\\/]/.test(path)) problems.push(reasonOf(error));
    }
  }
  return { missing: describeSearch(name, search, problems) };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.split('\n')[0]! : String(error);
}
