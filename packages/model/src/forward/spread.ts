import { throwIfAborted, type Model, type WeightForm } from '@pare/core';
import type { RunnerContext, RunnerTask } from './context.js';
import type { HiddenStates } from './hidden-states.js';

/** A device's part of a pass over the chunks. */
export interface DevicePart {
  readonly context: RunnerContext;
  /** The chunks that are its own, in order. */
  readonly chunks: readonly number[];
  /** Comes before every step: stops the part when the run was stopped, or when another part has failed. */
  begin(): void;
  /** Comes after every step. */
  end(): void;
}

export interface Pass {
  readonly task: RunnerTask;
  /** What is stopped, for messages: `the forward pass`. */
  readonly what: string;
  /** Steps for each chunk, 1 by default. */
  readonly steps?: number;
}

/** Ends a part whose result nobody will ask for. */
class Stopped extends Error {}

/**
 * A pass over all chunks, each on the device that it is computed on; devices work side by side. One that has no chunk is left alone. With a single context all chunks are its own.
 * After a failure the other parts end at their next step, and the first failure is thrown when they have.
 */
export async function spread(contexts: readonly RunnerContext[], hidden: HiddenStates, { task, what, steps = 1 }: Pass, work: (part: DevicePart) => Promise<void>): Promise<void> {
  const total = hidden.chunks.length * steps;
  let completed = 0;
  let failed = false;
  const parts = contexts.map((context, device): DevicePart => ({
    context,
    chunks: [...hidden.chunks.keys()].filter((chunk) => contexts.length === 1 || hidden.place(chunk) === device),
    begin() {
      throwIfAborted(context.signal, what);
      if (failed) throw new Stopped();
    },
    end: () => context.report(task, ++completed, total),
  }));
  const results = await Promise.allSettled(
    parts
      .filter(({ chunks }) => chunks.length > 0)
      .map(async (part) => {
        try {
          await work(part);
        } catch (error) {
          failed = true;
          throw error;
        }
      }),
  );
  const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  if (failures.length > 0) throw failures.find((failure) => !(failure instanceof Stopped)) ?? failures[0];
}

/** The model for the parts of a pass, which all ask for the same weights: each is read once, and forgotten when all have it. */
export function readOnce(model: Model, contexts: readonly RunnerContext[], hidden: HiddenStates): Model {
  const readers = Math.min(contexts.length, hidden.chunks.length);
  if (readers < 2) return model;
  const pending = new Map<string, { readonly form: Promise<WeightForm>; waiting: number }>();
  const weight = (module: string): Promise<WeightForm> => {
    let entry = pending.get(module);
    if (entry === undefined) pending.set(module, (entry = { form: model.weight(module), waiting: readers }));
    if (--entry.waiting === 0) pending.delete(module);
    return entry.form;
  };
  return new Proxy(model, {
    get(target, key) {
      if (key === 'weight') return weight;
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? (value as (...values: unknown[]) => unknown).bind(target) : value;
    },
  });
}
