// Stays in the declarations: what uses this package need not know the types of WebGPU.
/// <reference types="@webgpu/types" preserve="true" />
import { pareError, type DeviceInfo } from '@pare/core';
import { kernelError, kernelKey, type BoundOperand, type DeviceBuffer, type DeviceTraits, type KernelDevice, type KernelLayout, type Launch, type PreparedKernel } from '@pare/executor';
import { adapterName, bufferUsage, deviceInfo, isSoftware, mapMode, shaderStage } from './gpu.js';

const backend = 'webgpu';

/** A buffer of the device. */
class WebgpuBuffer implements DeviceBuffer {
  readonly bytes: number;
  readonly id: number;
  readonly gpu: GPUBuffer;

  constructor(id: number, bytes: number, gpu: GPUBuffer) {
    this.id = id;
    this.bytes = bytes;
    this.gpu = gpu;
  }
}

interface Pipeline extends PreparedKernel {
  readonly id: number;
  readonly gpu: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Bind groups kept: those of a few plans in a steady loop. */
const keptBindGroups = 8192;
/** Staging buffers for reading, by size. */
const keptStaging = 8;

export interface WebgpuDeviceOptions {
  /** Smaller limits than the adapter's, to test what happens at them. */
  readonly traits?: Partial<DeviceTraits> | undefined;
}

/** A GPUDevice as the executor drives it. */
export class WebgpuDevice implements KernelDevice {
  readonly info: DeviceInfo;
  readonly traits: DeviceTraits;
  readonly #device: GPUDevice;
  readonly #pipelines = new Map<string, Promise<Pipeline>>();
  readonly #bindGroups = new Map<string, GPUBindGroup>();
  readonly #staging = new Map<number, GPUBuffer[]>();
  /** Checks of calls that report failures later. */
  #checks: Promise<GPUError | null>[] = [];
  #lost: string | undefined;
  #disposed = false;
  #ids = 0;

  constructor(adapter: GPUAdapter, device: GPUDevice, options: WebgpuDeviceOptions = {}) {
    this.#device = device;
    this.info = deviceInfo(adapterName(adapter), isSoftware(adapter));
    this.traits = { ...traitsOf(adapter, device), ...options.traits };
    void device.lost.then(({ reason, message }) => {
      if (!this.#disposed) this.#lost = message === '' ? `the device was lost (${reason})` : `the device was lost: ${message}`;
    });
  }

  /** The device itself, for kernels of one's own. */
  get gpu(): GPUDevice {
    return this.#device;
  }

  createBuffer(bytes: number): DeviceBuffer {
    this.#assertAlive();
    const { maxBufferSize } = this.#device.limits;
    if (bytes > maxBufferSize) {
      throw pareError('PARE_BACKEND_OUT_OF_MEMORY', { backend, operation: `a buffer of ${mebibytes(bytes)}`, reason: `the adapter's buffers hold at most ${mebibytes(maxBufferSize)}` });
    }
    this.#device.pushErrorScope('out-of-memory');
    const gpu = this.#device.createBuffer({ size: bytes, usage: bufferUsage.storage | bufferUsage.copySource | bufferUsage.copyDestination | bufferUsage.uniform });
    this.#checks.push(this.#device.popErrorScope());
    return new WebgpuBuffer(this.#ids++, bytes, gpu);
  }

  destroyBuffer(buffer: DeviceBuffer): void {
    // Bind groups name their buffers: those of a destroyed one are useless, and few enough to make again.
    this.#bindGroups.clear();
    (buffer as WebgpuBuffer).gpu.destroy();
  }

  clear(buffer: DeviceBuffer, bytes: number): void {
    this.#assertAlive();
    const encoder = this.#device.createCommandEncoder();
    encoder.clearBuffer((buffer as WebgpuBuffer).gpu, 0, Math.ceil(bytes / 4) * 4);
    this.#device.queue.submit([encoder.finish()]);
  }

  upload(buffer: DeviceBuffer, bytes: Uint8Array, offset = 0): void {
    this.#assertAlive();
    const { queue } = this.#device;
    const { gpu } = buffer as WebgpuBuffer;
    const whole = bytes.byteLength & ~3;
    if (whole > 0) queue.writeBuffer(gpu, offset, bytes.buffer, bytes.byteOffset, whole);
    if (whole === bytes.byteLength) return;
    // Writes come in words of four bytes.
    const rest = new Uint8Array(4);
    rest.set(bytes.subarray(whole));
    queue.writeBuffer(gpu, offset + whole, rest);
  }

  async download(buffer: DeviceBuffer, bytes: number): Promise<ArrayBuffer> {
    this.#assertAlive();
    const size = Math.ceil(bytes / 4) * 4;
    const staging = this.#takeStaging(size);
    const encoder = this.#device.createCommandEncoder();
    encoder.copyBufferToBuffer((buffer as WebgpuBuffer).gpu, 0, staging, 0, size);
    this.#device.queue.submit([encoder.finish()]);
    try {
      await staging.mapAsync(mapMode.read, 0, size);
    } catch (error) {
      staging.destroy();
      this.#assertAlive();
      throw error;
    }
    const result = staging.getMappedRange(0, size).slice(0, bytes);
    staging.unmap();
    this.#keepStaging(staging);
    await this.settle();
    return result;
  }

  async prepare(layouts: readonly KernelLayout[]): Promise<readonly PreparedKernel[]> {
    this.#assertAlive();
    const pending = layouts.map((layout) => {
      const key = pipelineKey(layout);
      let pipeline = this.#pipelines.get(key);
      if (pipeline === undefined) {
        pipeline = this.#compile(layout);
        this.#pipelines.set(key, pipeline);
        pipeline.catch(() => this.#pipelines.delete(key));
      }
      return pipeline;
    });
    return Promise.all(pending);
  }

  submit(launches: readonly Launch[]): void {
    if (launches.length === 0) return;
    this.#assertAlive();
    const encoder = this.#device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const launch of launches) {
      const [x, y, z] = launch.workgroups;
      if (x * y * z === 0) continue;
      const pipeline = launch.kernel as Pipeline;
      pass.setPipeline(pipeline.gpu);
      pass.setBindGroup(0, this.#bindGroup(pipeline, launch));
      pass.dispatchWorkgroups(x, y, z);
    }
    pass.end();
    this.#device.queue.submit([encoder.finish()]);
  }

  async idle(): Promise<void> {
    if (this.#lost !== undefined || this.#disposed) return;
    await this.#device.queue.onSubmittedWorkDone();
  }

  async settle(): Promise<void> {
    if (this.#checks.length > 0) {
      const checks = this.#checks;
      this.#checks = [];
      for (const error of await Promise.all(checks)) {
        if (error !== null) throw pareError('PARE_BACKEND_OUT_OF_MEMORY', { backend, operation: 'creating a buffer', reason: error.message });
      }
    }
    this.#assertAlive();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    await this.idle();
    await Promise.allSettled(this.#checks);
    this.#disposed = true;
    this.#bindGroups.clear();
    for (const list of this.#staging.values()) for (const staging of list) staging.destroy();
    this.#device.destroy();
    await this.#device.lost;
  }

  #assertAlive(): void {
    if (this.#lost !== undefined) throw pareError('PARE_BACKEND_LOST', { backend, reason: this.#lost });
    if (this.#disposed) throw pareError('PARE_BACKEND_LOST', { backend, reason: 'it was disposed' });
  }

  async #compile({ kernel, access, uniforms }: KernelLayout): Promise<Pipeline> {
    const device = this.#device;
    const layout = device.createBindGroupLayout({
      label: kernel.name,
      entries: [
        ...access.map((kind, binding) => ({ binding, visibility: shaderStage.compute, buffer: { type: kind === 'read' ? 'read-only-storage' : 'storage' } as const })),
        ...(uniforms ? [{ binding: access.length, visibility: shaderStage.compute, buffer: { type: 'uniform' } as const }] : []),
      ],
    });
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label: kernel.name, code: kernel.code });
    const scope = device.popErrorScope();
    const failures = (await module.getCompilationInfo()).messages.filter(({ type }) => type === 'error');
    await scope;
    if (failures.length > 0) throw kernelError(backend, kernel, failures[0]!.message, failures[0]!.lineNum);
    try {
      const gpu = await device.createComputePipelineAsync({
        label: kernel.name,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: kernel.entry, constants: { ...kernel.constants } },
      });
      return { id: this.#ids++, name: kernel.name, gpu, layout };
    } catch (error) {
      this.#assertAlive();
      throw kernelError(backend, kernel, error instanceof Error ? error.message : String(error), undefined);
    }
  }

  #bindGroup(pipeline: Pipeline, { operands, uniforms }: Launch): GPUBindGroup {
    const bound = uniforms === undefined ? operands : [...operands, uniforms];
    const key = `${String(pipeline.id)} ${bound.map(({ buffer, offset, bytes }) => `${String((buffer as WebgpuBuffer).id)}:${String(offset)}:${String(bytes)}`).join(' ')}`;
    let group = this.#bindGroups.get(key);
    if (group === undefined) {
      group = this.#device.createBindGroup({
        layout: pipeline.layout,
        entries: bound.map(({ buffer, offset, bytes }: BoundOperand, binding) => ({ binding, resource: { buffer: (buffer as WebgpuBuffer).gpu, offset, size: Math.ceil(bytes / 4) * 4 } })),
      });
      if (this.#bindGroups.size >= keptBindGroups) this.#bindGroups.clear();
      this.#bindGroups.set(key, group);
    }
    return group;
  }

  #takeStaging(bytes: number): GPUBuffer {
    const size = stagingSize(bytes);
    return this.#staging.get(size)?.pop() ?? this.#device.createBuffer({ size, usage: bufferUsage.mapRead | bufferUsage.copyDestination });
  }

  #keepStaging(staging: GPUBuffer): void {
    const list = this.#staging.get(staging.size) ?? [];
    if (this.#disposed || list.length >= keptStaging || staging.size > 2 ** 28) {
      staging.destroy();
      return;
    }
    list.push(staging);
    this.#staging.set(staging.size, list);
  }
}

function stagingSize(bytes: number): number {
  return Math.max(256, 2 ** Math.ceil(Math.log2(bytes)));
}

const mebibytes = (bytes: number): string => `${String(Math.ceil(bytes / 2 ** 20))} MiB`;

/** A pipeline is a kernel with a way to bind its operands. */
function pipelineKey({ kernel, access, uniforms }: KernelLayout): string {
  return `${kernelKey(kernel)} ${access.map((kind) => kind[0]).join('')}${uniforms ? 'u' : ''}`;
}

function traitsOf(adapter: GPUAdapter, { limits, features }: GPUDevice): DeviceTraits {
  const info = adapter.info as GPUAdapterInfo & { readonly subgroupMinSize?: number };
  return {
    language: 'WGSL',
    maximumWorkgroups: limits.maxComputeWorkgroupsPerDimension,
    maximumInvocations: limits.maxComputeInvocationsPerWorkgroup,
    workgroupMemory: limits.maxComputeWorkgroupStorageSize,
    maximumBinding: limits.maxStorageBufferBindingSize,
    offsetAlignment: Math.max(limits.minStorageBufferOffsetAlignment, limits.minUniformBufferOffsetAlignment),
    maximumOperands: limits.maxStorageBuffersPerShaderStage,
    subgroupSize: (features as ReadonlySet<string>).has('subgroups') ? (info.subgroupMinSize ?? 4) : 0,
    float16: features.has('shader-f16'),
  };
}

/** Opens a device with all the limits that the adapter has. */
export async function openWebgpuDevice(adapter: GPUAdapter, options: WebgpuDeviceOptions = {}): Promise<WebgpuDevice> {
  const wanted = [
    'maxBufferSize',
    'maxStorageBufferBindingSize',
    'maxStorageBuffersPerShaderStage',
    'maxComputeWorkgroupStorageSize',
    'maxComputeInvocationsPerWorkgroup',
    'maxComputeWorkgroupSizeX',
    'maxComputeWorkgroupsPerDimension',
  ] as const;
  const requiredLimits = Object.fromEntries(wanted.map((name) => [name, adapter.limits[name]]));
  const requiredFeatures = (['shader-f16', 'subgroups', 'timestamp-query'] as const).filter((feature) => (adapter.features as ReadonlySet<string>).has(feature)) as GPUFeatureName[];
  try {
    return new WebgpuDevice(adapter, await adapter.requestDevice({ label: 'pare', requiredLimits, requiredFeatures }), options);
  } catch (error) {
    throw pareError('PARE_BACKEND_UNAVAILABLE', { backend, reason: error instanceof Error ? error.message : String(error) }, error);
  }
}
