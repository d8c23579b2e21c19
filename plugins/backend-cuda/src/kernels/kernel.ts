import type { KernelSource } from '@pare/executor';
import { prelude } from '../language/prelude.gen.js';

/** What a kernel of a file is launched with. */
export interface KernelForm {
  /** Macros that the text asks for. */
  readonly values?: Readonly<Record<string, number>> | undefined;
  /** Texts of functions that it calls. */
  readonly libraries?: readonly string[] | undefined;
  /** Invocations of a block; 256 by default. */
  readonly invocations?: number | undefined;
  readonly workgroupMemory?: number | undefined;
}

/** A kernel of a .cu file; its function is called `run`. */
export function kernel(name: string, text: string, { values = {}, libraries = [], invocations = 256, workgroupMemory }: KernelForm = {}): KernelSource {
  return { name, code: [prelude, ...libraries, text].join('\n'), entry: 'run', constants: values, invocations, workgroupMemory };
}

/** Blocks for `count` invocations. */
export function blocks(count: number, invocations = 256): readonly [number, number, number] {
  return [Math.ceil(count / invocations), 1, 1];
}
