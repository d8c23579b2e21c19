/* What this package uses of koffi: native libraries are opened and called through it, and nothing of it is loaded before that. */

/** A native function. Addresses and handles are integers; arrays stand for their memory. */
export interface ForeignFunction {
  (...values: readonly ForeignValue[]): number;
  /** Calls it on another thread. The last argument is told the result. */
  readonly async: (...values: readonly (ForeignValue | ((error: Error | null, result: number) => void))[]) => void;
}

export type ForeignValue = number | string | readonly string[] | ArrayBufferView | null;

/** Types of arguments and results. `address` is an address or handle as an integer, `memory` an array that the function reads or fills, or null. */
export type ForeignType = 'int' | 'uint' | 'size' | 'address' | 'memory' | 'text' | 'texts';

export interface ForeignLibrary {
  /** @throws Error when the library lacks the function */
  readonly bind: (name: string, values: readonly ForeignType[]) => ForeignFunction;
}

export interface ForeignInterface {
  /** @throws Error when the library cannot be opened */
  readonly open: (path: string) => ForeignLibrary;
  /** Memory at an address as an array; it stays whoever's it is. */
  readonly view: (address: number, bytes: number) => ArrayBuffer;
}

const koffiTypes: Readonly<Record<ForeignType, string>> = { int: 'int', uint: 'unsigned int', size: 'size_t', address: 'uint64_t', memory: 'void *', text: 'const char *', texts: 'const char **' };

let loading: Promise<ForeignInterface | string> | undefined;

/** koffi, or why it cannot be loaded. */
export function loadForeignInterface(): Promise<ForeignInterface | string> {
  loading ??= import('koffi').then(
    ({ default: koffi }) => ({
      open: (path) => {
        const library = koffi.load(path);
        return { bind: (name, values) => library.func(name, 'int', values.map((type) => koffiTypes[type])) as unknown as ForeignFunction };
      },
      view: (address, bytes) => koffi.view(BigInt(address), bytes),
    }),
    (error: unknown) => `the optional package "koffi" cannot be loaded: ${error instanceof Error ? error.message.split('\n')[0]! : String(error)}; "npm install koffi" installs it`,
  );
  return loading;
}
