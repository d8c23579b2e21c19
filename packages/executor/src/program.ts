/* What a device is asked to do: dispatches of compiled kernels over buffers. Nothing here knows a kernel language. */

/** What lowering and kernels need to know of a device. */
export interface DeviceTraits {
  /** Name of the kernel language, for messages: `WGSL`, `CUDA`. */
  readonly language: string;
  /** Largest number of workgroups along one axis of a dispatch. */
  readonly maximumWorkgroups: number;
  /** Largest number of invocations of a workgroup. */
  readonly maximumInvocations: number;
  /** Bytes of memory that a workgroup shares. */
  readonly workgroupMemory: number;
  /** Largest piece of a buffer that one operand can be bound to, in bytes. */
  readonly maximumBinding: number;
  /** Offsets of operands into buffers are multiples of this, in bytes. */
  readonly offsetAlignment: number;
  /** Buffers that one kernel can read and write. */
  readonly maximumOperands: number;
  /** Invocations that run in lockstep and can exchange values, at least; 0 where kernels cannot rely on that. */
  readonly subgroupSize: number;
  /** True where kernels compute in float16. */
  readonly float16: boolean;
  /** True where products read matrices whose lines lie further apart than they are long. */
  readonly spacedProducts?: boolean | undefined;
}

/** A buffer, or a window of it, that a kernel reads or writes. */
export interface Operand {
  /** Name of an operand of the request, or of a temporary of the program. */
  readonly buffer: string;
  readonly access: 'read' | 'write';
  /** Start of the window in bytes, a multiple of `offsetAlignment`; 0 by default. */
  readonly offset?: number | undefined;
  /** Bytes of the window; to the end of the buffer by default. */
  readonly size?: number | undefined;
}

/** A kernel's text and the values its pipeline is specialised with. Kernels of equal text, entry and constants share one pipeline. */
export interface KernelSource {
  /** For messages and profiles: `matmul-tiled`. */
  readonly name: string;
  readonly code: string;
  readonly entry: string;
  /** Pipeline constants (`override` in WGSL, macros in CUDA) by name. */
  readonly constants: Readonly<Record<string, number>>;
  /** Invocations of a workgroup, in languages whose texts do not say it (CUDA). */
  readonly invocations?: number | undefined;
  /** Bytes of workgroup memory beyond what the text declares, in languages that hand it over at the launch (CUDA). */
  readonly workgroupMemory?: number | undefined;
  /**
   * Names a computation of a library that the device has at hand (a vendor's matrix product), made in place of a kernel: `code` is empty, and `constants` hold all
   * that the library needs to know.
   */
  readonly library?: string | undefined;
}

/** One launch of a kernel. */
export interface Dispatch {
  readonly kernel: KernelSource;
  /** Bound at consecutive positions from 0. */
  readonly operands: readonly Operand[];
  /** Bound as a uniform buffer after the operands, when present; a multiple of 16 bytes. */
  readonly uniforms?: Uint32Array | undefined;
  readonly workgroups: readonly [number, number, number];
}

/** What a routine needs to be computed: dispatches in order, each seeing all that earlier ones wrote. */
export interface Program {
  /** Scratch buffers, by name; their content is undefined at the start. */
  readonly temporaries: readonly { readonly name: string; readonly bytes: number }[];
  readonly dispatches: readonly Dispatch[];
}

/** A hand-written computation of a device: from shapes to dispatches. Buffers of a request are named in its documentation. */
export type Routine<R> = (request: R, traits: DeviceTraits) => Program;
