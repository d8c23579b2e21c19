/* The part of the WebAssembly interface that is used here. TypeScript declares it with the DOM only, which this package does without. */

export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

/** A compiled module; may be sent to worker threads. */
export type WasmModule = object;

interface WebAssemblyApi {
  readonly Memory: new (options: { initial: number; maximum: number; shared?: boolean }) => WasmMemory;
  compile(bytes: Uint8Array): Promise<WasmModule>;
  instantiate(module: WasmModule, imports: { env: { memory: WasmMemory } }): Promise<{ readonly exports: Readonly<Record<string, unknown>> }>;
}

export const webAssembly: WebAssemblyApi = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;
