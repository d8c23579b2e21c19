import { describeLongRuns } from '@pare/conformance';
import { copyTensor, float32Tensor, isPareError, type HostTensor } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { evaluateGraph } from '@pare/operators';
import type { ExecutorBackend, KernelSource } from '@pare/executor';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCudaBackend, openCudaDevice, scoreCuda } from './create-backend.js';
import type { CudaDevice } from './device/cuda-device.js';
import { optionsSchema } from './options.js';

const options = optionsSchema.parse({});

function ramp(shape: readonly number[], scale = 0.01): HostTensor {
  const count = shape.reduce((product, extent) => product * extent, 1);
  return float32Tensor(shape, Float32Array.from({ length: count }, (_, index) => ((index % 97) - 48) * scale));
}

it('is scored above other GPU backends, without opening the GPU', async () => {
  const { score, reason, device } = await scoreCuda();
  expect(score).toBe(80);
  expect(reason).toContain('driver for CUDA');
  expect(device!.memoryBytes).toBeGreaterThan(2 ** 30);
});

it('refuses a GPU that is not there', async () => {
  await expect(createCudaBackend({ ...options, device: 99 })).rejects.toMatchObject({ code: 'PARE_BACKEND_UNAVAILABLE' });
});

describe('kernels', () => {
  let device: CudaDevice;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pare-cuda-'));
    device = await openCudaDevice({ ...options, cache: folder });
  });
  afterAll(async () => {
    await device[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  it('that do not compile are named, with the line', async () => {
    const kernel: KernelSource = { name: 'broken-kernel', code: 'extern "C" __global__ void run(float* x) {\n  x[0] = 1.0f;\n  y[0] = 2.0f;\n}\n', entry: 'run', constants: {}, invocations: 32 };
    const error = await device.prepare([{ kernel, access: ['write'], uniforms: false }]).catch((thrown: unknown) => thrown);
    expect(isPareError(error) && error.code).toBe('PARE_KERNEL_INVALID');
    expect(String(error)).toContain('broken-kernel');
    expect(isPareError(error) ? error.help : '').toContain('line 3: y[0] = 2.0f;');
  });

  it('are compiled again when what was kept of them is damaged', async () => {
    const fill = (value: number): KernelSource => ({ name: 'fill', code: 'extern "C" __global__ void run(float* x) { x[threadIdx.x] = VALUE; }\n', entry: 'run', constants: { VALUE: value }, invocations: 32 });
    const filled = async (opened: CudaDevice): Promise<number[]> => {
      const buffer = opened.createBuffer(128);
      const [prepared] = await opened.prepare([{ kernel: fill(3), access: ['write'], uniforms: false }]);
      opened.submit([{ kernel: prepared!, operands: [{ buffer, access: 'write', offset: 0, bytes: 128 }], uniforms: undefined, workgroups: [1, 1, 1] }]);
      const values = [...new Float32Array(await opened.download(buffer, 128))];
      opened.destroyBuffer(buffer);
      return values;
    };
    expect(await filled(device)).toEqual(new Array(32).fill(3));
    const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.cubin'));
    expect(files).toHaveLength(1);
    await writeFile(join(folder, files[0]!), 'damaged');
    await using other = await openCudaDevice({ ...options, cache: folder });
    expect(await filled(other)).toEqual(new Array(32).fill(3));
  });

  it('that ask for more memory than there is are refused, and the device goes on', async () => {
    expect(() => device.createBuffer(2 ** 42)).toThrow(expect.objectContaining({ code: 'PARE_BACKEND_OUT_OF_MEMORY' }));
    const buffer = device.createBuffer(256);
    device.upload(buffer, Uint8Array.of(1, 2, 3, 4));
    expect([...new Uint8Array(await device.download(buffer, 4))]).toEqual([1, 2, 3, 4]);
    device.destroyBuffer(buffer);
  });
});

describe('copies', () => {
  it('arrive whole, large and small, in whatever order the device works', async () => {
    await using device = await openCudaDevice(options);
    const sizes = [4, 252, 65_540, 2 ** 23, 2 ** 23 + 12, 30_000_004, 2 ** 27 + 4];
    const contents = sizes.map((bytes, index) => new Uint8Array(bytes).map((_, at) => (at * 31 + index) & 255));
    const buffers = contents.map((bytes) => {
      const buffer = device.createBuffer(bytes.length);
      device.upload(buffer, bytes);
      return buffer;
    });
    const read = await Promise.all(buffers.map((buffer, index) => device.download(buffer, sizes[index]!)));
    for (const [index, bytes] of read.entries()) expect(Buffer.compare(Buffer.from(bytes), contents[index]!)).toBe(0);
    // A part in the middle, over what is there.
    device.upload(buffers[2]!, Uint8Array.of(9, 9, 9, 9), 400);
    const part = new Uint8Array(await device.download(buffers[2]!, 408));
    expect([...part.subarray(398)]).toEqual([contents[2]![398], contents[2]![399], 9, 9, 9, 9, ...contents[2]!.subarray(404, 408)]);
    device.clear(buffers[2]!, 404);
    expect([...new Uint8Array(await device.download(buffers[2]!, 408)).subarray(400)]).toEqual([0, 0, 0, 0, ...contents[2]!.subarray(404, 408)]);
  });
});

describe('a backend with a small binding limit', () => {
  let backend: ExecutorBackend;
  beforeAll(async () => {
    backend = await createCudaBackend(options, { traits: { maximumBinding: 65_536, maximumWorkgroups: 16 } });
  });
  afterAll(async () => {
    await backend[Symbol.asyncDispose]();
  });

  it('computes large tensors window by window', async () => {
    const builder = new GraphBuilder('windows');
    const x = builder.input('x', 'float32', [250, 211]);
    builder.output(builder.mul(builder.sigmoid(x), builder.add(x, 1)), 'elementwise');
    builder.output(builder.cast(builder.transpose(x, [1, 0]), 'float16'), 'cast');
    builder.output(builder.reduceMean(x, [1], false), 'rows');
    builder.output(builder.matmul(builder.transpose(x, [1, 0]), x), 'product');
    const graph = builder.build();
    const input = ramp([250, 211]);
    await using executable = await backend.compile(graph);
    using scope = backend.scope();
    const outputs = await executable.run({ x: scope.own(backend.write(input)) });
    const expected = evaluateGraph(graph, { x: input });
    for (const [output, tensor] of Object.entries(outputs)) {
      const actual = await backend.read(scope.own(tensor));
      const wrong = Array.from(actual.data as Float32Array).findIndex((value, index) => Math.abs(value - Number(expected[output]!.data[index])) > 1e-3 * (1 + Math.abs(Number(expected[output]!.data[index]))));
      expect({ output, wrong }).toEqual({ output, wrong: -1 });
    }
  });
});

describeLongRuns('cuda', () => createCudaBackend(options));

describe('a peer', () => {
  /** The second GPU, or the first again: another context in the one case, other streams of one in the other. */
  async function second(): Promise<{ readonly backend: ExecutorBackend; readonly device: number }> {
    for (const device of [1, 0]) {
      const backend = await createCudaBackend({ ...options, device }).catch(() => undefined);
      if (backend !== undefined) return { backend, device };
    }
    throw new Error('no GPU');
  }

  it('gets tensors straight from another device, and what is computed with them is the same', async () => {
    await using one = await createCudaBackend(options);
    await using other = (await second()).backend;
    const builder = new GraphBuilder('sum');
    const x = builder.input('x', 'float32', [300, 300]);
    builder.output(builder.matmul(x, builder.add(x, 1)), 'y');
    const graph = builder.build();
    await using here = await one.compile(graph);
    await using there = await other.compile(graph);
    const expected = evaluateGraph(graph, { x: ramp([300, 300]) })['y']!;
    for (let round = 0; round < 20; round++) {
      using scope = one.scope();
      const { y } = await here.run({ x: scope.own(one.write(ramp([300, 300]))) });
      const moved = await copyTensor(y!, one, other);
      // Its memory is used again at once.
      y![Symbol.dispose]();
      scope.own(one.write(ramp([300, 300], 7)));
      using received = moved;
      using again = (await there.run({ x: received }))['y']!;
      const first = (await other.read(received)).data as Float32Array;
      expect(first.findIndex((value, index) => Math.abs(value - Number(expected.data[index])) > 1e-3)).toBe(-1);
      expect((await other.read(again)).data.length).toBe(90_000);
    }
  });

  it('shares its life with the backend that it is opened with', async () => {
    const { backend: other, device } = await second();
    await other[Symbol.asyncDispose]();
    const backend = await createCudaBackend({ ...options, devices: 1 + device });
    expect(backend.peers).toHaveLength(device);
    await backend[Symbol.asyncDispose]();
    for (const peer of backend.peers) expect(() => peer.write(float32Tensor([1], [1]))).toThrow(expect.objectContaining({ code: 'PARE_BACKEND_LOST' }));
  });
});

it('serves two backends on one GPU', async () => {
  await using one = await createCudaBackend(options);
  await using other = await createCudaBackend(options);
  using a = one.write(float32Tensor([2], [1, 2]));
  using b = other.write(float32Tensor([2], [3, 4]));
  expect(Array.from((await one.read(a)).data as Float32Array)).toEqual([1, 2]);
  expect(Array.from((await other.read(b)).data as Float32Array)).toEqual([3, 4]);
});
