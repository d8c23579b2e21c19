import { float32Tensor, type DeviceTensor, type HostTensor } from '@pare/core';
import { quantizerRule, type ColumnSolver, type FactorizeRequest, type ResidentFactor } from '@pare/solvers';
import { expect, it } from 'vitest';
import { createDeviceColumnSolver, type ColumnSolverKernels } from './device-column-solver.js';
import type { DevicePrograms, ProgramBuffer } from './device-programs.js';
import type { Program } from './program.js';
import { testTraits } from './testing.js';

class HostBuffer implements ProgramBuffer {
  readonly data: Uint8Array<ArrayBuffer>;
  readonly #live: Set<HostBuffer>;

  constructor(bytes: number, live: Set<HostBuffer>) {
    this.data = new Uint8Array(bytes);
    this.#live = live.add(this);
  }

  get bytes(): number {
    return this.data.length;
  }

  /** The memory, which must not have been given back. */
  get held(): Uint8Array<ArrayBuffer> {
    if (!this.#live.has(this)) throw new Error('the buffer was given back');
    return this.data;
  }

  get floats(): Float32Array {
    return new Float32Array(this.held.buffer);
  }

  [Symbol.dispose](): void {
    this.#live.delete(this);
  }
}

type Buffers = Readonly<Record<string, HostBuffer>>;

/** Programs of one kernel, which is a function of its buffers. */
class HostPrograms implements DevicePrograms {
  readonly traits = testTraits;
  readonly live = new Set<HostBuffer>();
  /** Bytes of a read that fails. */
  unreadable: number | undefined;
  readonly #kernels = new Map<Program, (buffers: Buffers) => void>();

  program(work: (buffers: Buffers) => void = () => undefined): Program {
    const program: Program = { temporaries: [], dispatches: [] };
    this.#kernels.set(program, work);
    return program;
  }

  allocate(bytes: number): HostBuffer {
    return new HostBuffer(bytes, this.live);
  }

  write(buffer: HostBuffer, { buffer: data, byteOffset, byteLength }: ArrayBufferView, offset = 0): void {
    buffer.held.set(new Uint8Array(data, byteOffset, byteLength), offset);
  }

  read(buffer: HostBuffer, bytes = buffer.bytes): Promise<ArrayBuffer> {
    return bytes === this.unreadable ? Promise.reject(new Error('the device is lost')) : Promise.resolve(buffer.held.slice(0, bytes).buffer);
  }

  run(program: Program, buffers: Buffers): void {
    for (const buffer of Object.values(buffers)) expect(this.live).toContain(buffer);
    this.#kernels.get(program)!(buffers);
  }

  bufferOf(tensor: DeviceTensor): HostBuffer {
    const { data } = tensor as unknown as HostTensor;
    const buffer = this.allocate(data.byteLength);
    this.write(buffer, data);
    return buffer;
  }

  tensorOf(): never {
    throw new Error('the solver makes no tensors');
  }
}

const size = 4;

/** Kernels whose U is the Gram matrix, and whose codes are U's first number. */
function kernelsOf(device: HostPrograms): ColumnSolverKernels {
  return {
    entryBytes: 4,
    encode: (values) => Float32Array.from(values),
    scratch: () => ({ panel: 64 }),
    factorize: () => device.program(),
    invert: () => device.program(({ matrix, upper }) => upper!.floats.set(matrix!.floats)),
    blockColumns: 2,
    sweep: () => device.program(({ upper, packed }) => packed!.held.fill(upper!.floats[0]!)),
    resident: {
      maximumBytes: () => 1024,
      diagonal: () => device.program(({ diagonal }) => diagonal!.floats.fill(1)),
      load: () => device.program(({ gram, matrix }) => matrix!.floats.set(gram!.floats)),
      widen: () => device.program(),
    },
  };
}

const rule = quantizerRule({ bits: 4, symmetric: true, groupSize: -1, staticGroups: false, clip: 'minmax', scaleType: 'float32' });
const weight = float32Tensor([2, size]);
const request: Omit<FactorizeRequest, 'gram'> = { size, damping: 0, dampingIncrement: 0, actOrder: false };

/** `value` · I, on the device and not. */
function gram(value: number): { gram: DeviceTensor & HostTensor & { data: Float32Array } } {
  const data = Float32Array.from({ length: size * size }, (_, index) => (index % (size + 1) === 0 ? value : 0));
  return { gram: float32Tensor([size, size], data) as unknown as DeviceTensor & HostTensor & { data: Float32Array } };
}

async function factorizeResident(solver: ColumnSolver, value: number): Promise<ResidentFactor> {
  return (await solver.resident!.factorize({ ...request, ...gram(value) }))!;
}

/** The first number of the U that a sweep reads. */
async function swept(solver: ColumnSolver, factor: ResidentFactor): Promise<number> {
  return (await solver.resident!.sweep({ weight, rows: 2, factor, rule })).result.codes[0]!;
}

it('keeps a factor on the device until it is disposed, whatever is factorized and swept meanwhile', async () => {
  const device = new HostPrograms();
  const solver = createDeviceColumnSolver(device, kernelsOf(device));
  const first = await factorizeResident(solver, 3);
  const onHost = await solver.factorize({ ...request, gram: gram(7).gram.data });
  const second = await factorizeResident(solver, 5);
  expect((await solver.sweep({ weight: weight.data, rows: 2, factor: onHost, rule })).result.codes[0]).toBe(7);
  expect([await swept(solver, first), await swept(solver, second), await swept(solver, first)]).toEqual([3, 5, 3]);
  expect((await first.load()).upper[0]).toBe(3);
  // What was asked for before comes first.
  const last = swept(solver, first);
  const loaded = second.load();
  for (const factor of [first, second]) factor[Symbol.dispose]();
  expect(await last).toBe(3);
  expect((await loaded).upper[0]).toBe(5);
  await expect(swept(solver, first)).rejects.toThrow('the factor was disposed');
  expect(device.live.size).toBe(1);
  await solver.dispose();
  expect(device.live.size).toBe(0);
});

it('lets factors that nobody disposed go with the solver', async () => {
  const device = new HostPrograms();
  const solver = createDeviceColumnSolver(device, kernelsOf(device));
  const factors = [await factorizeResident(solver, 1), await factorizeResident(solver, 2)];
  expect(device.live.size).toBe(2);
  await solver.dispose();
  expect(device.live.size).toBe(0);
  for (const factor of factors) factor[Symbol.dispose]();
  await expect(factors[0]!.load()).rejects.toThrow('disposed');
});

it('gives U back when it cannot be read', async () => {
  const device = new HostPrograms();
  device.unreadable = size * size * 4;
  const solver = createDeviceColumnSolver(device, kernelsOf(device));
  await expect(solver.factorize({ ...request, gram: gram(1).gram.data })).rejects.toThrow('the device is lost');
  expect(device.live.size).toBe(0);
});

it('refuses a weight that does not have the columns of the factor', async () => {
  const device = new HostPrograms();
  const solver = createDeviceColumnSolver(device, kernelsOf(device));
  using factor = await factorizeResident(solver, 1);
  await expect(solver.resident!.sweep({ weight, rows: 3, factor, rule })).rejects.toThrow('a weight of 3 rows and 4 columns has 12 entries, got 8');
  await expect(solver.resident!.sweep({ weight, rows: 2, factor, rule, blockSize: 0 })).rejects.toThrow('blockSize is 0');
});
