import type { DeviceInfo } from '@pare/core';
import type { ForeignFunction, ForeignInterface, ForeignLibrary, ForeignType, ForeignValue } from './foreign.js';

/* CUDA's driver API, as far as this backend uses it (CUDA Driver API reference manual). Handles and device addresses are numbers: they have 47 bits. */

const signatures = {
  cuInit: ['uint'],
  cuDriverGetVersion: ['memory'],
  cuGetErrorName: ['int', 'memory'],
  cuDeviceGetCount: ['memory'],
  cuDeviceGet: ['memory', 'int'],
  cuDeviceGetName: ['memory', 'int', 'int'],
  cuDeviceTotalMem_v2: ['memory', 'int'],
  cuDeviceGetAttribute: ['memory', 'int', 'int'],
  cuDevicePrimaryCtxRetain: ['memory', 'int'],
  cuDevicePrimaryCtxRelease_v2: ['int'],
  cuCtxSetCurrent: ['address'],
  cuStreamCreate: ['memory', 'uint'],
  cuStreamDestroy_v2: ['address'],
  cuStreamSynchronize: ['address'],
  cuStreamWaitEvent: ['address', 'address', 'uint'],
  cuEventCreate: ['memory', 'uint'],
  cuEventRecord: ['address', 'address'],
  cuEventQuery: ['address'],
  cuEventSynchronize: ['address'],
  cuEventDestroy_v2: ['address'],
  cuMemAlloc_v2: ['memory', 'size'],
  cuMemFree_v2: ['address'],
  cuMemGetInfo_v2: ['memory', 'memory'],
  cuMemHostAlloc: ['memory', 'size', 'uint'],
  cuMemFreeHost: ['address'],
  cuMemcpyHtoDAsync_v2: ['address', 'address', 'size', 'address'],
  cuMemcpyDtoHAsync_v2: ['address', 'address', 'size', 'address'],
  cuMemcpyDtoH_v2: ['memory', 'address', 'size'],
  cuMemcpyPeerAsync: ['address', 'address', 'address', 'address', 'size', 'address'],
  cuMemsetD8Async: ['address', 'uint', 'size', 'address'],
  cuModuleLoadData: ['memory', 'memory'],
  cuModuleUnload: ['address'],
  cuModuleGetFunction: ['memory', 'address', 'text'],
  cuFuncSetAttribute: ['address', 'int', 'int'],
  cuLaunchKernel: ['address', 'uint', 'uint', 'uint', 'uint', 'uint', 'uint', 'uint', 'address', 'address', 'address'],
} as const satisfies Readonly<Record<string, readonly ForeignType[]>>;

export type DriverFunction = keyof typeof signatures;

export const outOfMemory = 2;
export const noDevice = 100;
export const notReady = 600;

/** A failed call of the driver. */
export class DriverError extends Error {
  readonly code: number;

  constructor(call: string, code: number, name: string) {
    super(`${call} failed with ${name === '' ? 'error' : name} (${String(code)})`);
    this.code = code;
  }
}

/** The driver's functions, each looked up when it is first called. */
export class Driver {
  readonly #library: ForeignLibrary;
  readonly #foreign: ForeignInterface;
  readonly #functions = new Map<DriverFunction, ForeignFunction>();
  readonly #integers = new BigUint64Array(1);

  constructor(foreign: ForeignInterface, library: ForeignLibrary) {
    this.#foreign = foreign;
    this.#library = library;
  }

  /** The function itself, for callers that judge its result. */
  get(name: DriverFunction): ForeignFunction {
    let found = this.#functions.get(name);
    if (found === undefined) this.#functions.set(name, (found = this.#library.bind(name, signatures[name])));
    return found;
  }

  /** @throws DriverError */
  call(name: DriverFunction, ...values: readonly ForeignValue[]): void {
    const code = this.get(name)(...values);
    if (code !== 0) throw new DriverError(name, code, this.errorName(code));
  }

  /** Calls a function whose first argument is where an integer or a handle goes, and returns that. @throws DriverError */
  make(name: DriverFunction, ...values: readonly ForeignValue[]): number {
    this.#integers[0] = 0n;
    this.call(name, this.#integers, ...values);
    return Number(this.#integers[0]);
  }

  errorName(code: number): string {
    const where = new BigUint64Array(1);
    if (this.get('cuGetErrorName')(code, where) !== 0) return '';
    const bytes = new Uint8Array(this.#foreign.view(Number(where[0]), 64));
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }

  /** Memory of the host at an address. */
  view(address: number, bytes: number): Uint8Array {
    return new Uint8Array(this.#foreign.view(address, bytes));
  }
}

/** What a device is. */
export interface DeviceFacts {
  readonly index: number;
  readonly name: string;
  readonly memoryBytes: number;
  readonly multiprocessors: number;
  /** Compute capability, 90 for 9.0. */
  readonly capability: number;
  /** Most bytes of shared memory that a block can ask for. */
  readonly sharedMemory: number;
}

const attributes = { multiprocessors: 16, capabilityMajor: 75, capabilityMinor: 76, sharedMemory: 97 };

/** Facts of a device, without opening it. @throws DriverError */
export function deviceFacts(driver: Driver, index: number): DeviceFacts {
  const handle = driver.make('cuDeviceGet', index);
  const attribute = (number: number): number => driver.make('cuDeviceGetAttribute', number, handle);
  const name = new Uint8Array(256);
  driver.call('cuDeviceGetName', name, name.length, handle);
  return {
    index,
    name: new TextDecoder().decode(name.subarray(0, name.indexOf(0))),
    memoryBytes: driver.make('cuDeviceTotalMem_v2', handle),
    multiprocessors: attribute(attributes.multiprocessors),
    capability: attribute(attributes.capabilityMajor) * 10 + attribute(attributes.capabilityMinor),
    sharedMemory: attribute(attributes.sharedMemory),
  };
}

/** What plans and people are told of a device: rates are those of a multiprocessor of an H100 in float32. */
export function deviceInfo({ name, memoryBytes, multiprocessors }: DeviceFacts): DeviceInfo {
  // A pass holds about ten values at a time beside weights and statistics.
  const separate = { valueBytes: Math.min(2 ** 30, memoryBytes / 64), statesBytes: memoryBytes / 4 };
  return { name, memoryBytes, parallelism: multiprocessors, rate: { forward: 1e11 * multiprocessors, solver: 1e9 * multiprocessors }, separate };
}
