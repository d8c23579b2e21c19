import type { FileSystem, MemorySample } from '@pare/core';

/** A SHA-256 that is fed piece by piece. */
export interface Sha256 {
  update(data: Uint8Array): void;
  /** The hash in hexadecimal digits; the end of it. */
  hex(): string;
}

/** What a system offers. `#system` is Node's, or the browser's where bundlers set the condition `browser`. */
export interface System {
  /** Files when nobody says which: the disk in Node, memory in a browser. */
  readonly defaultFiles: FileSystem;
  /** Number of this process, or of this page's thread. */
  readonly processId: number;
  /** True while a process of this number runs (ours or anybody's). */
  isRunning(process: number): Promise<boolean>;
  createSha256(): Sha256;
  /** A variable of the process's environment; undefined when it is empty or not set, and in browsers. */
  environmentVariable(name: string): string | undefined;
  /** Memory now and at most so far; undefined where the system does not tell. */
  sampleMemory(): MemorySample | undefined;
}
