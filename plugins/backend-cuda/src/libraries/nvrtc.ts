import type { ForeignFunction, ForeignLibrary } from './foreign.js';

/* NVRTC, which compiles CUDA C++ to machine code in the process (NVRTC user guide). */

/** A kernel's text that does not compile. */
export class CompileError extends Error {
  /** Line of the text, from 1; undefined when the compiler names none. */
  readonly line: number | undefined;

  constructor(problem: string, line: number | undefined) {
    super(problem);
    this.line = line;
  }
}

/** The first error of a compiler's log: `kernel(12): error: …`. */
export function firstError(log: string): CompileError {
  const match = /\((\d+)\): (?:catastrophic )?error(?: #\S+)?: (.*)/.exec(log);
  if (match === null) return new CompileError(log.trim().split('\n')[0] ?? 'no reason given', undefined);
  return new CompileError(match[2]!.trim(), Number(match[1]));
}

/** Compilations at once: more than there are threads for would wait in memory. */
const mostAtOnce = 16;

export class Nvrtc {
  /** Major and minor version. */
  readonly version: string;
  readonly #create: ForeignFunction;
  readonly #compile: ForeignFunction;
  readonly #destroy: ForeignFunction;
  readonly #logSize: ForeignFunction;
  readonly #log: ForeignFunction;
  readonly #codeSize: ForeignFunction;
  readonly #code: ForeignFunction;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(library: ForeignLibrary) {
    this.#create = library.bind('nvrtcCreateProgram', ['memory', 'text', 'text', 'int', 'memory', 'memory']);
    this.#compile = library.bind('nvrtcCompileProgram', ['address', 'int', 'texts']);
    this.#destroy = library.bind('nvrtcDestroyProgram', ['memory']);
    this.#logSize = library.bind('nvrtcGetProgramLogSize', ['address', 'memory']);
    this.#log = library.bind('nvrtcGetProgramLog', ['address', 'memory']);
    this.#codeSize = library.bind('nvrtcGetCUBINSize', ['address', 'memory']);
    this.#code = library.bind('nvrtcGetCUBIN', ['address', 'memory']);
    const numbers = [new Int32Array(1), new Int32Array(1)] as const;
    library.bind('nvrtcVersion', ['memory', 'memory'])(...numbers);
    this.version = `${String(numbers[0][0])}.${String(numbers[1][0])}`;
  }

  /** Machine code for an architecture; compiles on another thread. @throws CompileError */
  async compile(code: string, options: readonly string[]): Promise<Uint8Array> {
    if (this.#running >= mostAtOnce) await new Promise<void>((resume) => this.#waiting.push(resume));
    this.#running++;
    try {
      return await this.#compileNow(code, options);
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  async #compileNow(code: string, options: readonly string[]): Promise<Uint8Array> {
    const handle = new BigUint64Array(1);
    const made = this.#create(handle, code, 'kernel', 0, null, null);
    if (made !== 0) throw new CompileError(`nvrtcCreateProgram failed with ${String(made)}`, undefined);
    const program = Number(handle[0]);
    try {
      const result = await new Promise<number>((done, fail) => {
        this.#compile.async(program, options.length, options, (error, status) => (error === null ? done(status) : fail(error)));
      });
      if (result !== 0) throw firstError(new TextDecoder().decode(this.#text(program, this.#logSize, this.#log)).replace(/\0+$/, ''));
      return this.#text(program, this.#codeSize, this.#code);
    } finally {
      this.#destroy(handle);
    }
  }

  #text(program: number, size: ForeignFunction, fill: ForeignFunction): Uint8Array {
    const length = new BigUint64Array(1);
    size(program, length);
    const bytes = new Uint8Array(Number(length[0]));
    fill(program, bytes);
    return bytes;
  }
}
