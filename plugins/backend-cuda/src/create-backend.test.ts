import { describe, expect, it } from 'vitest';
import { createCudaBackend, scoreCuda, type Surroundings } from './create-backend.js';
import type { ForeignFunction, ForeignInterface, ForeignLibrary } from './libraries/foreign.js';
import { optionsSchema } from './options.js';

const options = optionsSchema.parse({});

interface Pretence {
  readonly driver?: number | undefined;
  readonly initialise?: number | undefined;
  readonly devices?: number | undefined;
  readonly capability?: number | undefined;
  /** Libraries that open, by path. */
  readonly libraries?: readonly string[] | undefined;
}

/** A driver that answers as it is told, and libraries without functions. */
function pretend({ driver = 13_000, initialise = 0, devices = 1, capability = 90, libraries = [] }: Pretence): ForeignInterface {
  const answer = (write: (into: ArrayBufferView) => void): ForeignFunction => {
    const call = (into: unknown): number => {
      write(into as ArrayBufferView);
      return 0;
    };
    return Object.assign(call, { async: () => undefined }) as ForeignFunction;
  };
  const integer = (value: number): ForeignFunction => answer((into) => new Uint32Array(into.buffer).set([value % 2 ** 32, Math.floor(value / 2 ** 32)]));
  const attributes: Readonly<Record<number, number>> = { 16: 132, 75: Math.floor(capability / 10), 76: capability % 10, 97: 232_448 };
  const functions: Readonly<Record<string, ForeignFunction>> = {
    cuInit: Object.assign(() => initialise, { async: () => undefined }),
    cuDriverGetVersion: integer(driver),
    cuDeviceGetCount: integer(devices),
    cuDeviceGet: integer(0),
    cuDeviceTotalMem_v2: integer(80 * 2 ** 30),
    cuDeviceGetName: answer((into) => new Uint8Array(into.buffer).set(new TextEncoder().encode('NVIDIA Imaginary'))),
    cuDeviceGetAttribute: Object.assign(
      (into: unknown, attribute: unknown) => {
        new Uint32Array((into as ArrayBufferView).buffer)[0] = attributes[attribute as number]!;
        return 0;
      },
      { async: () => undefined },
    ) as ForeignFunction,
    cuGetErrorName: Object.assign(() => 1, { async: () => undefined }),
  };
  return {
    open(path): ForeignLibrary {
      if (path !== 'libcuda.so.1' && !libraries.includes(path)) throw new Error(`${path}: cannot open shared object file`);
      return {
        bind(name) {
          const found = functions[name];
          if (found === undefined) throw new Error(`no function ${name}`);
          return found;
        },
      };
    },
    view: () => new ArrayBuffer(64),
  };
}

function surroundings(pretence: Pretence | string, folders: Readonly<Record<string, readonly string[]>> = {}, platform = 'linux'): Surroundings {
  return {
    foreign: typeof pretence === 'string' ? pretence : pretend(pretence),
    choice: { machine: { platform, environment: {}, home: '/me', list: (folder) => folders[folder] ?? [] }, folders: ['/cuda'] },
  };
}

const complete = { '/cuda': ['libnvrtc.so.13', 'libcublasLt.so.13'] };

describe('the score', () => {
  it('tells the device and its driver', async () => {
    const { score, reason, device } = await scoreCuda(surroundings({}, complete));
    expect(score).toBe(80);
    expect(reason).toBe('compute capability 9.0, driver for CUDA 13.0');
    expect(device).toMatchObject({ name: 'NVIDIA Imaginary', memoryBytes: 80 * 2 ** 30, parallelism: 132 });
  });

  it.each([
    ['without koffi', surroundings('the optional package "koffi" cannot be loaded'), 'koffi'],
    ['on a Mac', surroundings({}, complete, 'darwin'), 'Linux and Windows'],
    ['without a device', surroundings({ initialise: 100 }, complete), 'sees no GPU'],
    ['with a driver that does not start', surroundings({ initialise: 803 }, complete), 'does not start'],
    ['with an old driver', surroundings({ driver: 11_040 }, complete), 'too old: it serves CUDA 11.4, and 12.0 is needed'],
    ['with an old device', surroundings({ capability: 61 }, complete), 'compute capability 6.1'],
    ['without a compiler', surroundings({}, { '/cuda': ['libcublasLt.so.13'] }), 'no nvrtc (it comes with the CUDA toolkit'],
    ['with libraries newer than the driver', surroundings({ driver: 12_080 }, complete), 'no nvrtc'],
  ])('is 0 %s, and says why', async (_name, given, reason) => {
    const result = await scoreCuda(given);
    expect(result.score).toBe(0);
    expect(result.reason).toContain(reason);
  });

  it('is 0 without a driver, and names where it was looked for', async () => {
    const foreign: ForeignInterface = {
      open: (path) => {
        throw new Error(`${path}: not there`);
      },
      view: () => new ArrayBuffer(0),
    };
    const { score, reason } = await scoreCuda({ ...surroundings({}), foreign });
    expect(score).toBe(0);
    expect(reason).toContain('no NVIDIA driver: libcuda.so.1 was not found');
    expect(reason).toContain('/cuda');
  });
});

describe('opening', () => {
  const opening = (given: Surroundings, changes = {}): Promise<unknown> => createCudaBackend({ ...options, ...changes }, { surroundings: given });

  it.each([
    ['koffi is missing', surroundings('the optional package "koffi" cannot be loaded'), {}, 'koffi'],
    ['the device is not there', surroundings({ devices: 2 }, complete), { device: 2 }, 'device 2 was asked for, and the NVIDIA driver sees 2, numbered from 0'],
    ['one of several devices is not there', surroundings({ devices: 2, libraries: ['/cuda/libnvrtc.so.13', '/cuda/libcublasLt.so.13'] }, complete), { device: 1, devices: 2 }, 'device 2 was asked for, and the NVIDIA driver sees 2, numbered from 0'],
    ['the compiler is missing', surroundings({}), {}, 'pip install nvidia-cuda-nvrtc-cu12'],
    ['the compiler is newer than the driver', surroundings({ driver: 12_080 }, complete), {}, 'is newer than the driver, which serves CUDA 12.8'],
    ['the products are missing', surroundings({ libraries: ['/cuda/libnvrtc.so.13'] }, { '/cuda': ['libnvrtc.so.13'] }), {}, 'libcublasLt.so.13 was not found'],
  ])('is refused where %s', async (_name, given, changes, reason) => {
    await expect(opening(given, changes)).rejects.toMatchObject({ code: 'PARE_BACKEND_UNAVAILABLE', message: expect.stringContaining(reason) as string });
  });
});
