import type { DType } from '@pare/core';

/** A tensor as the worker knows it. Numbers are handed out by the main thread. */
export interface TensorKey {
  readonly id: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** Runs that can be marked as cancelled at the same time. */
const cancelSlots = 1024;

/** Int32 words that both threads see. */
export const sharedWords = {
  /** 1 once the backend is being disposed: what waits is dropped. */
  closing: 0,
  /** 1 while the worker handles a request. */
  busy: 1,
  /** The word that holds `ticket` once the run of that number is cancelled. Tickets start at 1. */
  cancelled: (ticket: number): number => 2 + (ticket % cancelSlots),
  count: 2 + cancelSlots,
} as const;

/** What the worker is started with. */
export interface WorkerSettings {
  /** Threads that one operator may use, the worker's own included. */
  readonly threads: number;
  /** `sharedWords.count` words. */
  readonly shared: Int32Array<SharedArrayBuffer>;
}

/** A tensor under the name that a session gives to its input. */
export interface InputBinding {
  readonly name: string;
  readonly id: number;
}

/** The number that an output's tensor gets, and the element type it is kept in. */
export interface OutputBinding {
  readonly name: string;
  readonly id: number;
  readonly dtype: DType;
}

/** Messages without an answer. What goes wrong with them is told at the next use of the tensor or session. */
export type Notice =
  | ({ readonly kind: 'allocate' } & TensorKey)
  | ({ readonly kind: 'write'; readonly buffer: ArrayBuffer } & TensorKey)
  | { readonly kind: 'dispose'; readonly id: number }
  | { readonly kind: 'release'; readonly session: number }
  /** Give everything back and end the thread. */
  | { readonly kind: 'close' };

/** Messages that are answered. All messages are handled in the order they were sent. */
export type Call =
  | { readonly kind: 'read'; readonly id: number }
  | { readonly kind: 'compile'; readonly session: number; readonly model: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'run'; readonly session: number; readonly ticket: number; readonly inputs: readonly InputBinding[]; readonly outputs: readonly OutputBinding[] }
  | { readonly kind: 'synchronize' };

export type Request = Notice | (Call & { readonly call: number });

/** Why a call failed. `unimplemented`: onnxruntime has no kernel. */
export interface Failure {
  readonly reason: 'aborted' | 'memory' | 'unimplemented' | 'failed';
  readonly message: string;
}

/** The value of an answer: the bytes of a read, the outputs of a run in the order asked for, or nothing. */
export type Answer = ArrayBuffer | readonly TensorKey[] | undefined;

export type Reply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'unusable'; readonly message: string }
  | { readonly kind: 'done'; readonly call: number; readonly value: Answer }
  | { readonly kind: 'failed'; readonly call: number; readonly failure: Failure };
