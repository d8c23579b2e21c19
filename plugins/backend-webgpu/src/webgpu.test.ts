import { describeLongRuns } from '@pare/conformance';
import { float32Tensor, isPareError, type HostTensor } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { evaluateGraph } from '@pare/operators';
import type { ExecutorBackend } from '@pare/executor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWebgpuBackend, scoreWebgpu } from './create-backend.js';
import { findGpu } from './device/gpu.js';
import { openWebgpuDevice, type WebgpuDevice } from './device/webgpu-device.js';

const options = { powerPreference: 'high-performance', software: true } as const;

function ramp(shape: readonly number[], scale = 0.01): HostTensor {
  const count = shape.reduce((product, extent) => product * extent, 1);
  return float32Tensor(shape, Float32Array.from({ length: count }, (_, index) => ((index % 97) - 48) * scale));
}

async function openDevice(): Promise<WebgpuDevice> {
  const { gpu, missing } = await findGpu();
  if (missing !== undefined) throw new Error(missing);
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error('no adapter; install Debian\'s chromium for its software driver');
  return openWebgpuDevice(adapter);
}

describe('the adapter', () => {
  it('is scored without opening it, software below the cpu backend', async () => {
    const { score, reason, device } = await scoreWebgpu();
    expect([5, 50]).toContain(score);
    expect(reason.length).toBeGreaterThan(0);
    expect(device!.name).not.toBe('');
  });

  it('is refused when it computes on the processor and that is not wanted', async () => {
    if ((await scoreWebgpu()).score !== 5) return;
    await expect(createWebgpuBackend({ ...options, software: false })).rejects.toMatchObject({ code: 'PARE_BACKEND_UNAVAILABLE' });
  });
});

describe('kernels', () => {
  let device: WebgpuDevice;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(async () => {
    await device[Symbol.asyncDispose]();
  });

  it('that do not compile are named, with the line', async () => {
    const kernel = { name: 'broken-kernel', code: '@compute @workgroup_size(1)\nfn main() {\n  let x: i32 = 1.5;\n}\n', entry: 'main', constants: {} };
    const error = await device.prepare([{ kernel, access: [], uniforms: false }]).catch((thrown: unknown) => thrown);
    expect(isPareError(error) && error.code).toBe('PARE_KERNEL_INVALID');
    expect(String(error)).toContain('broken-kernel');
    expect(isPareError(error) ? error.help : '').toContain('line 3: let x: i32 = 1.5;');
  });

  it('that ask for more memory than there is are refused', async () => {
    // At once where buffers have a limit, else when the device has been asked.
    const ask = async (): Promise<void> => {
      device.createBuffer(2 ** 42);
      await device.settle();
    };
    await expect(ask()).rejects.toMatchObject({ code: 'PARE_BACKEND_OUT_OF_MEMORY' });
  });
});

describe('a device that is lost', () => {
  it('ends the run with a clear error', async () => {
    const device = await openDevice();
    device.gpu.destroy();
    await device.gpu.lost;
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(() => device.createBuffer(16)).toThrow(expect.objectContaining({ code: 'PARE_BACKEND_LOST' }));
    await expect(device.settle()).rejects.toMatchObject({ code: 'PARE_BACKEND_LOST' });
    await device[Symbol.asyncDispose]();
  });
});

describe('a backend with a small binding limit', () => {
  let backend: ExecutorBackend;
  beforeAll(async () => {
    backend = await createWebgpuBackend(options, { traits: { maximumBinding: 65_536, maximumWorkgroups: 16 } });
  });
  afterAll(async () => {
    await backend[Symbol.asyncDispose]();
  });

  const graphs: Record<string, (builder: GraphBuilder) => void> = {
    'elementwise operators': (builder) => {
      const x = builder.input('x', 'float32', [250, 211]);
      builder.output(builder.mul(builder.sigmoid(x), builder.add(x, 1)), 'y');
    },
    'transpositions and casts': (builder) => {
      const x = builder.input('x', 'float32', [250, 211]);
      builder.output(builder.cast(builder.transpose(x, [1, 0]), 'float16'), 'y');
    },
    reductions: (builder) => {
      const x = builder.input('x', 'float32', [250, 211]);
      builder.output(builder.reduceSum(x, [0, 1]), 'y');
      builder.output(builder.reduceMean(x, [1], false), 'rows');
    },
    'lookups in a table': (builder) => {
      const x = builder.input('x', 'float32', [250, 211]);
      builder.output(builder.gather(x, builder.cast(builder.constant(float32Tensor([3], [249, 0, 130])), 'int64'), 0), 'y');
    },
    products: (builder) => {
      const x = builder.input('x', 'float32', [250, 211]);
      builder.output(builder.matmul(builder.transpose(x, [1, 0]), x), 'y');
    },
  };

  it.each(Object.keys(graphs))('splits %s', async (name) => {
    const builder = new GraphBuilder(name);
    graphs[name]!(builder);
    const graph = builder.build();
    const x = ramp([250, 211]);
    await using executable = await backend.compile(graph);
    using scope = backend.scope();
    const outputs = await executable.run({ x: scope.own(backend.write(x)) });
    const expected = evaluateGraph(graph, { x });
    for (const [output, tensor] of Object.entries(outputs)) {
      const actual = await backend.read(scope.own(tensor));
      expect(actual.shape).toEqual(expected[output]!.shape);
      const wrong = Array.from(actual.data as Float32Array).findIndex((value, index) => Math.abs(value - Number(expected[output]!.data[index])) > 1e-3 * (1 + Math.abs(Number(expected[output]!.data[index]))));
      expect(wrong).toBe(-1);
    }
  });
});

describeLongRuns('webgpu', () => createWebgpuBackend(options));
