import type { DeviceTraits, Dispatch, ProgramBuffer, ProgramRunner, Program } from '@pare/executor';

/* Runs programs on a bare device, for the kernels' tests. The backend has its own way, with pipelines and buffers that are kept. */

/** What `create()` returns must live as long as the process: Dawn's binding crashes once it is collected. */
let gpu: GPU | undefined;

/** The traits of a device with nothing but WebGPU's guaranteed limits. */
export const guaranteedTraits: DeviceTraits = {
  language: 'WGSL',
  maximumWorkgroups: 65_535,
  maximumInvocations: 256,
  workgroupMemory: 16_384,
  maximumBinding: 134_217_728,
  offsetAlignment: 256,
  maximumOperands: 8,
  subgroupSize: 0,
  float16: false,
};

/** Traits so small that everything is split. */
export const tinyTraits: DeviceTraits = { ...guaranteedTraits, maximumBinding: 65_536, maximumWorkgroups: 8 };

export type TestArray = Float32Array | Int32Array | Uint32Array | Uint8Array;

export interface TestDevice {
  readonly device: GPUDevice;
  /** Runs a program over named arrays, which are updated where it writes. Buffers named only there are an error. */
  run(program: Program, arrays: Readonly<Record<string, TestArray>>): Promise<void>;
  destroy(): void;
}

/**
 * A device of Dawn in Node.
 * @throws Error when there is no adapter
 */
export async function testDevice(): Promise<TestDevice> {
  if (gpu === undefined) {
    const { create, globals } = await import('webgpu');
    Object.assign(globalThis, globals);
    gpu = create([]);
  }
  const adapter = await gpu.requestAdapter();
  if (adapter === null) {
    throw new Error(
      'Dawn finds no adapter. Install a Vulkan driver, or chromium for its software one, and set VK_DRIVER_FILES and LD_LIBRARY_PATH to it as the README of this package says.',
    );
  }
  const features: GPUFeatureName[] = adapter.features.has('subgroups') ? ['subgroups'] : [];
  const { maxComputeWorkgroupStorageSize } = adapter.limits;
  const device = await adapter.requestDevice({ requiredFeatures: features, requiredLimits: { maxComputeWorkgroupStorageSize } });
  return { device, run: (program, arrays) => runProgram(device, program, arrays), destroy: () => device.destroy() };
}

const pipelines = new WeakMap<GPUDevice, Map<string, Promise<GPUComputePipeline>>>();

function pipelineOf(device: GPUDevice, { kernel }: Dispatch): Promise<GPUComputePipeline> {
  let known = pipelines.get(device);
  if (known === undefined) pipelines.set(device, (known = new Map<string, Promise<GPUComputePipeline>>()));
  const key = JSON.stringify([kernel.code, kernel.entry, kernel.constants]);
  let pipeline = known.get(key);
  if (pipeline === undefined) known.set(key, (pipeline = compile(device, kernel)));
  return pipeline;
}

async function compile(device: GPUDevice, { name, code, entry, constants }: Dispatch['kernel']): Promise<GPUComputePipeline> {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code, label: name });
  const { messages } = await module.getCompilationInfo();
  await device.popErrorScope();
  const errors = messages.filter(({ type }) => type === 'error');
  if (errors.length > 0) {
    const lines = code.split('\n');
    throw new Error(errors.map(({ lineNum, linePos, message }) => `${name}:${String(lineNum)}:${String(linePos)}: ${message}\n    ${lines[lineNum - 1] ?? ''}`).join('\n'));
  }
  try {
    return await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: entry, constants } });
  } catch (error) {
    throw new Error(`${name}: ${(error as Error).message}`, { cause: error });
  }
}

async function runProgram(device: GPUDevice, program: Program, arrays: Readonly<Record<string, TestArray>>): Promise<void> {
  const buffers = new Map<string, GPUBuffer>();
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const scratch: GPUBuffer[] = [];
  const make = (bytes: number, flags: GPUBufferUsageFlags): GPUBuffer => {
    const buffer = device.createBuffer({ size: Math.max(16, Math.ceil(bytes / 4) * 4), usage: flags });
    scratch.push(buffer);
    return buffer;
  };
  const put = (buffer: GPUBuffer, array: TestArray): void => {
    const padded = new Uint8Array(Math.ceil(array.byteLength / 4) * 4);
    padded.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    device.queue.writeBuffer(buffer, 0, padded);
  };
  try {
    for (const [name, array] of Object.entries(arrays)) {
      buffers.set(name, make(array.byteLength, usage));
      put(buffers.get(name)!, array);
    }
    // Scratch starts as rubbish, which a kernel must not rely on.
    for (const { name, bytes } of program.temporaries) {
      buffers.set(name, make(bytes, usage));
      put(buffers.get(name)!, new Uint8Array(bytes).fill(0xff));
    }
    device.pushErrorScope('validation');
    const written = new Set<string>();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const dispatch of program.dispatches) {
      const pipeline = await pipelineOf(device, dispatch);
      const entries: GPUBindGroupEntry[] = dispatch.operands.map(({ buffer: name, access, offset = 0, size }, binding) => {
        const buffer = buffers.get(name);
        if (buffer === undefined) throw new Error(`${dispatch.kernel.name} wants a buffer ${name}`);
        if (access === 'write') written.add(name);
        return { binding, resource: { buffer, offset, ...(size === undefined ? {} : { size }) } };
      });
      if (dispatch.uniforms !== undefined) {
        const buffer = make(dispatch.uniforms.byteLength, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
        put(buffer, dispatch.uniforms);
        entries.push({ binding: entries.length, resource: { buffer } });
      }
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries, label: dispatch.kernel.name }));
      pass.dispatchWorkgroups(...dispatch.workgroups);
    }
    pass.end();
    device.queue.submit([encoder.finish()]);
    const problem = await device.popErrorScope();
    if (problem !== null) throw new Error(problem.message);
    for (const name of written) {
      const array = arrays[name];
      if (array === undefined || array.byteLength === 0) continue;
      const bytes = Math.ceil(array.byteLength / 4) * 4;
      const staging = make(bytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
      const copy = device.createCommandEncoder();
      copy.copyBufferToBuffer(buffers.get(name)!, 0, staging, 0, bytes);
      device.queue.submit([copy.finish()]);
      await staging.mapAsync(GPUMapMode.READ);
      new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(new Uint8Array(staging.getMappedRange(), 0, array.byteLength));
      staging.unmap();
    }
  } finally {
    for (const buffer of scratch) buffer.destroy();
  }
}

interface TestBuffer extends ProgramBuffer {
  readonly buffer: GPUBuffer;
}

/** A kernel device over a bare one. Errors come out of `read`. */
export function testPrograms(device: GPUDevice, traits: DeviceTraits = guaranteedTraits): ProgramRunner {
  const problems: string[] = [];
  const known = new Map<string, GPUComputePipeline>();
  device.addEventListener('uncapturederror', ({ error }) => problems.push(error.message));
  const buffer = (bytes: number, usage: GPUBufferUsageFlags): GPUBuffer => device.createBuffer({ size: Math.max(16, Math.ceil(bytes / 4) * 4), usage });
  const of = (held: ProgramBuffer | undefined): GPUBuffer => (held as TestBuffer).buffer;
  const pipeline = ({ name, code, entry, constants }: Dispatch['kernel']): GPUComputePipeline => {
    let made = known.get(code);
    if (made === undefined) {
      made = device.createComputePipeline({ layout: 'auto', label: name, compute: { module: device.createShaderModule({ code, label: name }), entryPoint: entry, constants } });
      known.set(code, made);
    }
    return made;
  };
  return {
    traits,
    allocate(bytes) {
      const made = buffer(bytes, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST);
      const held: TestBuffer = { bytes, buffer: made, [Symbol.dispose]: () => made.destroy() };
      return held;
    },
    write(held, data, offset = 0) {
      const padded = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
      padded.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      device.queue.writeBuffer(of(held), offset, padded);
    },
    async read(held, bytes = held.bytes) {
      const size = Math.ceil(bytes / 4) * 4;
      const staging = buffer(size, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(of(held), 0, staging, 0, size);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(GPUMapMode.READ);
      const result = staging.getMappedRange().slice(0, bytes);
      staging.destroy();
      if (problems.length > 0) throw new Error(problems.splice(0).join('\n'));
      return result;
    },
    run(program, buffers) {
      const temporaries = Object.fromEntries(program.temporaries.map(({ name, bytes }) => [name, this.allocate(bytes)]));
      const all = { ...buffers, ...temporaries };
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const dispatch of program.dispatches) {
        const made = pipeline(dispatch.kernel);
        const entries: GPUBindGroupEntry[] = dispatch.operands.map(({ buffer: name, offset = 0, size }, binding) => ({
          binding,
          resource: { buffer: of(all[name]), offset, ...(size === undefined ? {} : { size }) },
        }));
        if (dispatch.uniforms !== undefined) {
          const words = buffer(dispatch.uniforms.byteLength, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
          device.queue.writeBuffer(words, 0, dispatch.uniforms as Uint32Array<ArrayBuffer>);
          entries.push({ binding: entries.length, resource: { buffer: words } });
        }
        pass.setPipeline(made);
        pass.setBindGroup(0, device.createBindGroup({ layout: made.getBindGroupLayout(0), entries, label: dispatch.kernel.name }));
        pass.dispatchWorkgroups(...dispatch.workgroups);
      }
      pass.end();
      device.queue.submit([encoder.finish()]);
    },
  };
}

/** A difference that tests bound: max |a − b| over max |b|, at least 1e-12; NaN where both are is no difference, where one is it is infinite. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let largest = 1e-12;
  if (actual.length !== expected.length) return Infinity;
  for (let index = 0; index < expected.length; index++) {
    const [a, b] = [actual[index]!, expected[index]!];
    if (Number.isFinite(b)) largest = Math.max(largest, Math.abs(b));
    if (Object.is(a, b) || a === b) continue;
    const apart = Math.abs(a - b);
    difference = Math.max(difference, Number.isNaN(apart) ? Infinity : apart);
  }
  return difference / largest;
}
