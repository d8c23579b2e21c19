import { pareError, type DeviceInfo } from '@pare/core';
import { kernelError, kernelKey, type BoundOperand, type DeviceBuffer, type DeviceTraits, type KernelDevice, type KernelLayout, type KernelSource, type Launch, type PreparedKernel } from '@pare/executor';
import { BlasError, CublasLt, type PreparedProduct } from '../libraries/cublaslt.js';
import { deviceInfo, DriverError, notReady, outOfMemory, type DeviceFacts, type Driver } from '../libraries/driver.js';
import type { ForeignLibrary } from '../libraries/foreign.js';
import { CompileError, type Nvrtc } from '../libraries/nvrtc.js';
import { BlockAllocator, type Block } from './block-allocator.js';
import { ModuleCache } from './module-cache.js';
import { DownloadStaging, UploadRing } from './staging.js';
import { productOf } from './product.js';

const backend = 'cuda';

/** A buffer of the device. */
class CudaBuffer implements DeviceBuffer {
  readonly bytes: number;
  readonly block: Block;

  constructor(bytes: number, block: Block) {
    this.bytes = bytes;
    this.block = block;
  }
}

/** A kernel of one's own. */
interface CompiledKernel extends PreparedKernel {
  readonly kind: 'kernel';
  readonly function: number;
  readonly invocations: number;
  readonly workgroupMemory: number;
}

/** A product of cuBLASLt. Operands are bound as a, b, then the addend or bias if there is one, then y. */
interface LibraryKernel extends PreparedKernel {
  readonly kind: 'library';
  readonly product: PreparedProduct;
  readonly addend: 'none' | 'matrix' | 'bias';
}

/** Most operands of a kernel, its uniforms included. */
const maximumParameters = 64;
/** Memory that products may scribble on; what NVIDIA recommends for Hopper. */
const workspaceBytes = 2 ** 25;
/** Milliseconds of waiting after which the device is asked less often. */
const eagerWait = 3;

export interface CudaDeviceOptions {
  readonly driver: Driver;
  readonly facts: DeviceFacts;
  readonly nvrtc: Nvrtc;
  readonly blas: ForeignLibrary;
  readonly cache: ModuleCache;
  /** Smaller limits than the device's, to test what happens at them. */
  readonly traits?: Partial<DeviceTraits> | undefined;
}

/** A GPU as the executor drives it. */
export class CudaDevice implements KernelDevice {
  readonly info: DeviceInfo;
  readonly traits: DeviceTraits;
  readonly #driver: Driver;
  readonly #facts: DeviceFacts;
  readonly #nvrtc: Nvrtc;
  readonly #cache: ModuleCache;
  readonly #handle: number;
  readonly #context: number;
  /** Work in order. */
  readonly #compute: number;
  /** Copies to the device, beside the work. */
  readonly #copy: number;
  readonly #allocator: BlockAllocator;
  readonly #uploads: UploadRing;
  readonly #downloads: DownloadStaging;
  readonly #blas: CublasLt;
  readonly #workspace: Block;
  readonly #kernels = new Map<string, Promise<CompiledKernel | LibraryKernel>>();
  readonly #modules: number[] = [];
  readonly #products: PreparedProduct[] = [];
  /** Parameters of a launch: addresses, and where each of them lies. The driver copies them. */
  readonly #parameters: { readonly address: number; readonly words: Uint32Array; readonly pointers: number };
  readonly #spareEvents: number[] = [];
  /** Ends of submissions that may not be reached yet, oldest first. */
  readonly #fences: { readonly submission: number; readonly event: number }[] = [];
  #submission = 0;
  #finished = 0;
  /** Marks the last copy that the work has not been told to wait for. */
  #copied: number | undefined;
  #lost: string | undefined;
  #disposed = false;

  /** @throws DriverError, BlasError */
  constructor({ driver, facts, nvrtc, blas, cache, traits }: CudaDeviceOptions) {
    this.#driver = driver;
    this.#facts = facts;
    this.#nvrtc = nvrtc;
    this.#cache = cache;
    this.info = deviceInfo(facts);
    this.traits = { ...traitsOf(facts), ...traits };
    this.#handle = driver.make('cuDeviceGet', facts.index);
    this.#context = driver.make('cuDevicePrimaryCtxRetain', this.#handle);
    this.#enter();
    this.#compute = driver.make('cuStreamCreate', 1);
    this.#copy = driver.make('cuStreamCreate', 1);
    this.#allocator = new BlockAllocator({
      allocate: (bytes) => {
        const address = new BigUint64Array(1);
        const code = driver.get('cuMemAlloc_v2')(address, bytes);
        if (code === outOfMemory) return undefined;
        if (code !== 0) throw this.#failure(new DriverError('cuMemAlloc', code, driver.errorName(code)));
        return Number(address[0]);
      },
      free: (address) => driver.call('cuMemFree_v2', address),
    });
    this.#workspace = this.#block(workspaceBytes, 'the workspace of matrix products');
    this.#blas = new CublasLt(blas, this.#workspace);
    this.#uploads = new UploadRing(driver, this.#copy);
    this.#downloads = new DownloadStaging(driver);
    this.#parameters = parameterBlock(driver);
  }

  /** Compute capability, 90 for 9.0. */
  get capability(): number {
    return this.#facts.capability;
  }

  createBuffer(bytes: number): DeviceBuffer {
    this.#enter();
    return new CudaBuffer(bytes, this.#block(bytes, `a buffer of ${mebibytes(bytes)}`));
  }

  destroyBuffer(buffer: DeviceBuffer): void {
    this.#allocator.release((buffer as CudaBuffer).block);
  }

  clear(buffer: DeviceBuffer, bytes: number): void {
    this.#enter();
    const { block } = buffer as CudaBuffer;
    this.#guard(() => {
      this.#awaitCopies();
      this.#driver.call('cuMemsetD8Async', block.address, 0, bytes, this.#compute);
      block.lastUse = this.#endSubmission();
    });
  }

  upload(buffer: DeviceBuffer, bytes: Uint8Array, offset = 0): void {
    this.#enter();
    if (bytes.byteLength === 0) return;
    const { block } = buffer as CudaBuffer;
    this.#guard(() => {
      this.#reclaimFences();
      // Work that is on its way may read what the buffer held before.
      const last = this.#fences.at(-1);
      if (last !== undefined && block.lastUse > this.#finished) this.#driver.call('cuStreamWaitEvent', this.#copy, last.event, 0);
      this.#uploads.write(block.address + offset, bytes);
      this.#copied ??= this.#event();
      this.#driver.call('cuEventRecord', this.#copied, this.#copy);
    });
  }

  async download(buffer: DeviceBuffer, bytes: number): Promise<ArrayBuffer> {
    this.#enter();
    const { block } = buffer as CudaBuffer;
    const result = new ArrayBuffer(bytes);
    const staging = this.#guard(() => {
      this.#awaitCopies();
      return this.#downloads.take(bytes);
    });
    if (staging === undefined) {
      // More than is staged: the driver copies piece by piece while this thread waits.
      this.#guard(() => {
        this.#driver.call('cuStreamSynchronize', this.#compute);
        this.#driver.call('cuMemcpyDtoH_v2', new Uint8Array(result), block.address, bytes);
      });
      return result;
    }
    try {
      this.#guard(() => {
        this.#driver.call('cuMemcpyDtoHAsync_v2', staging.address, block.address, bytes, this.#compute);
        block.lastUse = this.#endSubmission();
      });
      await this.#reached(this.#mark());
      new Uint8Array(result).set(staging.bytes.subarray(0, bytes));
    } finally {
      this.#downloads.give(staging);
    }
    return result;
  }

  receive(buffer: DeviceBuffer, source: DeviceBuffer, from: KernelDevice, bytes: number): boolean {
    if (!(from instanceof CudaDevice)) return false;
    if (bytes === 0) return true;
    const [target, origin] = [(buffer as CudaBuffer).block, (source as CudaBuffer).block];
    const ready = from.#mark();
    this.#enter();
    this.#guard(() => {
      this.#awaitCopies();
      this.#driver.call('cuStreamWaitEvent', this.#compute, ready, 0);
      this.#driver.call('cuMemcpyPeerAsync', target.address, this.#context, origin.address, from.#context, bytes, this.#compute);
    });
    const done = this.#mark();
    this.#guard(() => (target.lastUse = this.#endSubmission()));
    from.#enter();
    // What comes next over there may write to the source.
    from.#guard(() => {
      from.#driver.call('cuStreamWaitEvent', from.#compute, done, 0);
      origin.lastUse = from.#endSubmission();
    });
    from.#spareEvents.push(ready);
    this.#spareEvents.push(done);
    return true;
  }

  async prepare(layouts: readonly KernelLayout[]): Promise<readonly PreparedKernel[]> {
    this.#enter();
    return Promise.all(
      layouts.map(({ kernel }) => {
        const key = kernelKey(kernel);
        let prepared = this.#kernels.get(key);
        if (prepared === undefined) {
          prepared = kernel.library === undefined ? this.#compile(kernel) : this.#product(kernel);
          this.#kernels.set(key, prepared);
          prepared.catch(() => this.#kernels.delete(key));
        }
        return prepared;
      }),
    );
  }

  submit(launches: readonly Launch[]): void {
    if (launches.length === 0) return;
    this.#enter();
    this.#guard(() => {
      this.#awaitCopies();
      const number = this.#submission + 1;
      for (const { kernel, operands, uniforms, workgroups } of launches) {
        for (const { buffer } of operands) (buffer as CudaBuffer).block.lastUse = number;
        if (uniforms !== undefined) (uniforms.buffer as CudaBuffer).block.lastUse = number;
        const prepared = kernel as CompiledKernel | LibraryKernel;
        if (prepared.kind === 'library') this.#multiply(prepared, operands);
        else this.#launch(prepared, operands, uniforms, workgroups);
      }
      this.#endSubmission();
    });
  }

  async idle(): Promise<void> {
    if (this.#lost !== undefined || this.#disposed) return;
    await this.#reached(this.#mark());
  }

  settle(): Promise<void> {
    this.#enter();
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    await this.idle().catch(() => undefined);
    await Promise.allSettled(this.#kernels.values());
    this.#disposed = true;
    // After a fault nothing can be freed piece by piece: the context takes everything with it.
    if (this.#lost === undefined) {
      this.#driver.call('cuCtxSetCurrent', this.#context);
      for (const product of this.#products) product.dispose();
      this.#blas.dispose();
      this.#uploads.dispose();
      this.#downloads.dispose();
      this.#driver.call('cuMemFreeHost', this.#parameters.address);
      this.#allocator.release(this.#workspace);
      this.#allocator.trim();
      for (const event of [...this.#spareEvents, ...this.#fences.map((fence) => fence.event)]) this.#driver.call('cuEventDestroy_v2', event);
      for (const module of this.#modules) this.#driver.call('cuModuleUnload', module);
      this.#driver.call('cuStreamDestroy_v2', this.#copy);
      this.#driver.call('cuStreamDestroy_v2', this.#compute);
    }
    this.#driver.get('cuDevicePrimaryCtxRelease_v2')(this.#handle);
  }

  /** Makes this device's context the thread's. */
  #enter(): void {
    if (this.#lost !== undefined) throw pareError('PARE_BACKEND_LOST', { backend, reason: this.#lost });
    if (this.#disposed) throw pareError('PARE_BACKEND_LOST', { backend, reason: 'it was disposed' });
    this.#guard(() => this.#driver.call('cuCtxSetCurrent', this.#context));
  }

  /** Calls the driver; what it reports becomes an error that says what to do. */
  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #failure(error: unknown): unknown {
    if (error instanceof DriverError) {
      if (error.code === outOfMemory) return this.#memoryError('the driver\'s own bookkeeping', error);
      this.#lost ??= error.message;
      return pareError('PARE_BACKEND_LOST', { backend, reason: error.message }, error);
    }
    if (error instanceof BlasError) {
      this.#lost ??= error.message;
      return pareError('PARE_BACKEND_LOST', { backend, reason: error.message }, error);
    }
    return error;
  }

  #memoryError(operation: string, cause?: unknown): Error {
    const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)];
    const known = this.#driver.get('cuMemGetInfo_v2')(free, total) === 0;
    const reason = known
      ? `${mebibytes(Number(free[0]))} of ${mebibytes(Number(total[0]))} are free, ${mebibytes(this.#allocator.reservedBytes)} are taken by this backend`
      : 'the device has no memory left';
    return pareError('PARE_BACKEND_OUT_OF_MEMORY', { backend, operation, reason }, cause);
  }

  #block(bytes: number, what: string): Block {
    const block = this.#allocator.allocate(bytes);
    if (block === undefined) throw this.#memoryError(what);
    return block;
  }

  /** An event after everything handed in so far. */
  #mark(): number {
    this.#enter();
    return this.#guard(() => {
      this.#awaitCopies();
      const marked = this.#event();
      this.#driver.call('cuEventRecord', marked, this.#compute);
      return marked;
    });
  }

  #event(): number {
    return this.#spareEvents.pop() ?? this.#driver.make('cuEventCreate', 2);
  }

  /** Work that follows waits for the copies asked for so far. */
  #awaitCopies(): void {
    if (this.#copied === undefined) return;
    this.#driver.call('cuStreamWaitEvent', this.#compute, this.#copied, 0);
    this.#spareEvents.push(this.#copied);
    this.#copied = undefined;
  }

  /** Marks the end of what was handed in and returns its number. */
  #endSubmission(): number {
    const event = this.#event();
    this.#driver.call('cuEventRecord', event, this.#compute);
    this.#fences.push({ submission: ++this.#submission, event });
    if (this.#fences.length > 64) this.#reclaimFences();
    return this.#submission;
  }

  #reclaimFences(): void {
    while (this.#fences.length > 0) {
      const { submission, event } = this.#fences[0]!;
      if (!this.#isReached(event)) return;
      this.#finished = submission;
      this.#spareEvents.push(event);
      this.#fences.shift();
    }
  }

  #isReached(event: number): boolean {
    const code = this.#driver.get('cuEventQuery')(event);
    if (code === notReady) return false;
    if (code !== 0) throw new DriverError('cuEventQuery', code, this.#driver.errorName(code));
    return true;
  }

  /** Waits without holding up the thread, and gives the event back. */
  async #reached(event: number): Promise<void> {
    const start = performance.now();
    while (!this.#guard(() => this.#isReached(event))) {
      const eager = performance.now() - start < eagerWait;
      await new Promise<void>((resume) => (eager ? setImmediate(resume) : setTimeout(resume, 1)));
      this.#enter();
    }
    this.#spareEvents.push(event);
  }

  async #compile(kernel: KernelSource): Promise<CompiledKernel> {
    const { name, code, entry, constants, invocations, workgroupMemory = 0 } = kernel;
    if (invocations === undefined) throw new TypeError(`kernel ${name} does not say how many invocations a workgroup has`);
    const defines = Object.entries(constants).map(([constant, value]) => `-D${constant}=${String(value)}`);
    const options = [`--gpu-architecture=sm_${String(this.#facts.capability)}`, '--std=c++17', '--fmad=false', '--device-as-default-execution-space', ...defines];
    const key = ModuleCache.key(this.#nvrtc.version, options, code);
    let module = await this.#load(key, await this.#cache.read(key));
    if (module === undefined) {
      let machineCode: Uint8Array;
      try {
        machineCode = await this.#nvrtc.compile(code, options);
      } catch (error) {
        if (error instanceof CompileError) throw kernelError(backend, kernel, error.message, error.line);
        throw error;
      }
      await this.#cache.write(key, machineCode);
      module = await this.#load(key, machineCode);
      if (module === undefined) throw kernelError(backend, kernel, 'the driver refuses the compiled kernel', undefined);
    }
    this.#enter();
    this.#modules.push(module);
    const found = this.#driver.make('cuModuleGetFunction', module, entry);
    if (workgroupMemory > 0) this.#guard(() => this.#driver.call('cuFuncSetAttribute', found, 8, workgroupMemory));
    return { kind: 'kernel', name, function: found, invocations, workgroupMemory };
  }

  /** The module of a cubin; undefined, and forgotten, where the driver does not take it. */
  async #load(key: string, machineCode: Uint8Array | undefined): Promise<number | undefined> {
    if (machineCode === undefined) return undefined;
    this.#enter();
    const handle = new BigUint64Array(1);
    if (this.#driver.get('cuModuleLoadData')(handle, machineCode) === 0) return Number(handle[0]);
    await this.#cache.remove(key);
    return undefined;
  }

  #product(kernel: KernelSource): Promise<LibraryKernel> {
    const { plan, addend } = productOf(kernel);
    return Promise.resolve().then(() => {
      // The library asks the driver for the device of this thread's context.
      this.#enter();
      try {
        const product = this.#blas.prepare(plan);
        this.#products.push(product);
        return { kind: 'library', name: kernel.name, product, addend };
      } catch (error) {
        if (error instanceof BlasError) throw kernelError(backend, kernel, error.message, undefined);
        throw error;
      }
    });
  }

  #multiply({ product, addend }: LibraryKernel, operands: readonly BoundOperand[]): void {
    const [a, b, ...rest] = operands.map(addressOf);
    const y = rest.at(-1)!;
    product.run(a!, b!, addend === 'matrix' ? rest[0]! : y, y, addend === 'bias' ? rest[0]! : 0, this.#compute);
  }

  #launch(kernel: CompiledKernel, operands: readonly BoundOperand[], uniforms: BoundOperand | undefined, [x, y, z]: Launch['workgroups']): void {
    if (x * y * z === 0) return;
    const { words, pointers } = this.#parameters;
    let slot = 0;
    for (const operand of operands) writeAddress(words, slot++, addressOf(operand));
    if (uniforms !== undefined) writeAddress(words, slot++, addressOf(uniforms));
    this.#driver.call('cuLaunchKernel', kernel.function, x, y, z, kernel.invocations, 1, 1, kernel.workgroupMemory, this.#compute, pointers, 0);
  }
}

function addressOf({ buffer, offset }: BoundOperand): number {
  return (buffer as CudaBuffer).block.address + offset;
}

function writeAddress(words: Uint32Array, slot: number, address: number): void {
  words[2 * slot] = address % 2 ** 32;
  words[2 * slot + 1] = Math.floor(address / 2 ** 32);
}

/** Memory of the host that holds a launch's parameters, and after them a pointer to each. */
function parameterBlock(driver: Driver): { readonly address: number; readonly words: Uint32Array; readonly pointers: number } {
  const bytes = maximumParameters * 16;
  const address = driver.make('cuMemHostAlloc', bytes, 0);
  const view = driver.view(address, bytes);
  const words = new Uint32Array(view.buffer, view.byteOffset, bytes / 4);
  for (let slot = 0; slot < maximumParameters; slot++) writeAddress(words, maximumParameters + slot, address + slot * 8);
  return { address, words, pointers: address + maximumParameters * 8 };
}

const mebibytes = (bytes: number): string => `${String(Math.ceil(bytes / 2 ** 20))} MiB`;

/** What kernels are told of a device. */
export function traitsOf({ sharedMemory }: Pick<DeviceFacts, 'sharedMemory'>): DeviceTraits {
  return {
    language: 'CUDA',
    maximumWorkgroups: 2 ** 31 - 1,
    maximumInvocations: 1024,
    workgroupMemory: sharedMemory,
    // Generated kernels count elements in 32 bits; 4-bit elements set the limit.
    maximumBinding: 2 ** 30,
    offsetAlignment: 16,
    maximumOperands: 32,
    subgroupSize: 32,
    float16: false,
    spacedProducts: true,
  };
}
