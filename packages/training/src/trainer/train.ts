import { pareError, throwIfAborted, type Backend, type DeviceTensor } from '@pare/core';
import { type BatchSource } from '../data/batches.js';
import { DecoderGradients, type BatchLoss } from '../decoder/gradients.js';
import { type Segment } from '../decoder/segments.js';
import { DeviceOptimizer, type DeviceOptimizerOptions } from '../optimizers/device-optimizer.js';
import { type Optimizer } from '../optimizers/optimizer.js';
import { type Schedule } from '../optimizers/schedule.js';
import { CheckpointClock, type CheckpointTimes } from './checkpoint-clock.js';
import { readCheckpoint, writeCheckpoint, type CheckpointPlace } from './checkpoint.js';

/** A finished step. */
export interface StepReport {
  /** Counted from 1. */
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly learningRate: number;
  /** √Σ g² before clipping. */
  readonly gradientNorm: number;
  /** Tokens of the step's batches. */
  readonly tokens: number;
  readonly seconds: number;
}

export interface TrainOptions {
  readonly backend: Backend;
  readonly segments: readonly Segment[];
  /** Parameters by name. Trained ones are replaced by new tensors; all are the caller's to dispose in the end. */
  readonly parameters: Map<string, DeviceTensor>;
  readonly trainable: ReadonlySet<string>;
  readonly steps: number;
  readonly batches: BatchSource;
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  readonly decayed?: DeviceOptimizerOptions['decayed'];
  /** Gradients are scaled so that their norm is at most this (Pascanu et al., arXiv 1211.5063, §3.2). */
  readonly clipNorm?: number | undefined;
  /** Compute blocks anew in the backward pass, to hold one block's intermediate values at a time; true by default. */
  readonly recompute?: boolean | undefined;
  readonly checkpoint?: (CheckpointPlace & CheckpointTimes & { readonly resume: boolean }) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onStep?: ((report: StepReport) => void) | undefined;
}

export interface TrainingResult {
  /** Loss of every step, also those of an earlier run that this one went on with. */
  readonly losses: readonly number[];
  /** Steps that an earlier run had done. */
  readonly restored: number;
}

/**
 * Trains a decoder. The same options give the same numbers, bit for bit, on one backend and machine; a run that is interrupted and goes on from its checkpoint ends with the
 * weights of one that was not. Numbers are finite or the run stops before it uses them. Whether it stops for that or because the signal fires, parameters are those of the last good step,
 * and so is the checkpoint, which is written once more.
 * @throws PARE_TRAINING_DIVERGED naming the step and what is known of the cause; PARE_ABORTED; PARE_RESUME_MISMATCH
 */
export async function train(options: TrainOptions): Promise<TrainingResult> {
  const { backend, segments, parameters, trainable, steps, batches, schedule, checkpoint, signal } = options;
  const names = [...parameters.keys()].filter((name) => trainable.has(name));
  if (names.length === 0) throw new RangeError('nothing is to be trained: no name of trainable is a parameter');
  await using gradients = new DecoderGradients({ backend, segments, parameters, trainable: new Set(names), recompute: options.recompute ?? true, signal });
  await using optimizer = new DeviceOptimizer({ backend, optimizer: options.optimizer, parameters, trainable: names, decayed: options.decayed });

  const kept = checkpoint?.resume === true ? await readCheckpoint(checkpoint) : undefined;
  if (kept !== undefined) {
    for (const [name, tensor] of kept.parameters) {
      parameters.get(name)?.[Symbol.dispose]();
      parameters.set(name, backend.write(tensor));
    }
    optimizer.restore(kept.optimizer);
  }
  const losses = [...(kept?.losses ?? [])];
  const restored = kept?.step ?? 0;
  const clock = new CheckpointClock(checkpoint ?? {});
  let saved = restored;
  const save = async (): Promise<void> => {
    if (checkpoint === undefined || saved === losses.length) return;
    await clock.timed(() => writeCheckpoint(backend, checkpoint, { step: losses.length, losses }, new Map(names.map((name) => [name, parameters.get(name)!])), optimizer.state));
    saved = losses.length;
  };

  for (let step = restored; step < steps; step++) {
    const start = performance.now();
    const learningRate = schedule(step);
    using held = new HeldGradients();
    let total: BatchLoss = { loss: 0, metrics: {} };
    let tokens = 0;
    try {
      throwIfAborted(signal, 'training');
      for await (const batch of batches(step)) {
        tokens += batch.ids.data.length;
        total = plus(total, await held.add(gradients, batch));
      }
    } catch (error) {
      // Nothing of this step has reached the parameters yet.
      if (signal?.aborted === true) await save();
      throw error;
    }
    const norm = Number.isFinite(total.loss) ? await optimizer.norm(held.tensors) : NaN;
    if (!Number.isFinite(norm)) {
      await save();
      throw pareError('PARE_TRAINING_DIVERGED', { step: step + 1, loss: total.loss, cause: likelyCause(total, losses, learningRate), checkpoint: saved === 0 ? undefined : checkpoint?.path });
    }
    const { clipNorm } = options;
    await optimizer.step(held.tensors, step + 1, learningRate, clipNorm === undefined ? 1 : Math.min(1, clipNorm / (norm + 1e-6)));
    losses.push(total.loss);
    if (clock.due(step + 1) || step + 1 === steps) await save();
    options.onStep?.({ step: step + 1, steps, ...total, learningRate, gradientNorm: norm, tokens, seconds: (performance.now() - start) / 1000 });
  }
  return { losses, restored };
}

function plus(left: BatchLoss, right: BatchLoss): BatchLoss {
  const metrics = Object.fromEntries(Object.entries(right.metrics).map(([name, value]) => [name, (left.metrics[name] ?? 0) + value]));
  return { loss: left.loss + right.loss, metrics };
}

/** Gradients of the batches of one step, added up on the device. */
class HeldGradients implements Disposable {
  #tensors = new Map<string, DeviceTensor>();

  get tensors(): ReadonlyMap<string, DeviceTensor> {
    return this.#tensors;
  }

  async add(gradients: DecoderGradients, batch: Parameters<DecoderGradients['backward']>[0]): Promise<BatchLoss> {
    const sums = this.#tensors;
    this.#tensors = new Map();
    return gradients.backward(
      batch,
      (complete) => {
        for (const [name, tensor] of complete) this.#tensors.set(name, tensor);
      },
      sums,
    );
  }

  [Symbol.dispose](): void {
    for (const tensor of this.#tensors.values()) if (!tensor.disposed) tensor[Symbol.dispose]();
  }
}

/** What most often lies behind numbers that are not finite. */
function likelyCause({ loss, metrics }: BatchLoss, losses: readonly number[], learningRate: number): string {
  const broken = Object.entries(metrics).find(([, value]) => !Number.isFinite(value));
  if (losses.length === 0) return broken === undefined ? 'the very first step: weights, data or loss are out of range' : `the very first step: "${broken[0]}" is ${String(broken[1])}`;
  const recent = losses.slice(-5);
  if (recent.length > 1 && recent.at(-1)! > 1.5 * Math.min(...losses)) return `the loss rose from ${Math.min(...losses).toPrecision(4)} to ${recent.at(-1)!.toPrecision(4)} before: the learning rate ${learningRate.toPrecision(3)} is too high`;
  if (Number.isFinite(loss)) return 'gradients overflow while the loss does not: clip them, or lower the learning rate';
  return broken === undefined ? 'this batch alone: look at its tokens, or lower the learning rate' : `this batch alone: "${broken[0]}" is ${String(broken[1])}`;
}
