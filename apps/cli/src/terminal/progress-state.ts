import type { HostEvents } from '@pare/core';

/** The events of a host as one tagged union. */
export type HostEvent = { readonly [K in keyof HostEvents]: { readonly type: K; readonly event: HostEvents[K] } }[keyof HostEvents];

/** How many blocks the mean time of a block is taken over. */
const window = 8;

/**
 * What a display knows of a run: where it is, how fast blocks go, and memory. Fed with host events and the time of each, in seconds;
 * it reads no clock itself, so that it can be tested.
 */
export class ProgressState {
  readonly #blockSeconds: number[] = [];
  #blockStart: number | undefined;
  #firstTime: number | undefined;
  #time = 0;

  /** `gptq`, `format hf`, `perplexity`; undefined before anything starts. */
  stage: string | undefined;
  stageIndex = 0;
  stages: readonly string[] = [];
  /** Index of the block in work. */
  block = 0;
  blocks = 0;
  blocksDone = 0;
  module: string | undefined;
  loss: number | undefined;
  /** Sum of the losses reported in the block in work. */
  blockLoss: number | undefined;
  /** A task that counts something else than blocks: downloads, windows, files. */
  task: HostEvents['progress'] | undefined;
  residentBytes: number | undefined;
  peakBytes = 0;

  /** Takes in an event that happened at `time` seconds. */
  update({ type, event }: HostEvent, time: number): void {
    this.tick(time);
    switch (type) {
      case 'run:start':
        this.stages = event.stages;
        this.blocks = event.blocks;
        break;
      case 'stage:start':
        this.stage = event.technique;
        this.stageIndex = event.stage;
        this.blocks = event.blocks;
        this.#enter();
        break;
      case 'block:start':
        this.block = event.block;
        this.blocks = event.blocks;
        this.blockLoss = undefined;
        this.#blockStart = time;
        break;
      case 'module:done':
        this.module = event.module;
        this.loss = event.report.loss;
        if (event.report.loss !== undefined) this.blockLoss = (this.blockLoss ?? 0) + event.report.loss;
        break;
      case 'block:done':
        this.block = event.block;
        this.blocksDone = event.block + 1;
        this.task = undefined;
        this.#blockStart = undefined;
        // Blocks taken from a journal take no time and say nothing about the others.
        if (!event.restored) {
          this.#blockSeconds.push(event.seconds);
          if (this.#blockSeconds.length > window) this.#blockSeconds.shift();
        }
        break;
      case 'stage:done':
        this.blocksDone = this.blocks;
        this.module = undefined;
        break;
      case 'progress':
        this.task = event;
        break;
      case 'format:start':
        this.stage = `write ${event.format}`;
        this.#enter(0);
        break;
      case 'evaluation:start':
        this.stage = event.evaluator;
        this.#enter(0);
        break;
      case 'memory':
        this.residentBytes = event.residentBytes;
        this.peakBytes = Math.max(this.peakBytes, event.peakResidentBytes);
        break;
      case 'format:done':
      case 'evaluation:done':
        this.task = undefined;
        break;
      case 'warning':
        break;
    }
  }

  /** Lets time pass without an event. */
  tick(time: number): void {
    this.#firstTime ??= time;
    this.#time = time;
  }

  #enter(blocks = this.blocks): void {
    this.blocks = blocks;
    this.block = 0;
    this.blocksDone = 0;
    this.module = undefined;
    this.loss = undefined;
    this.blockLoss = undefined;
    this.task = undefined;
    this.#blockStart = undefined;
  }

  /** Seconds since the first event. */
  get elapsed(): number {
    return this.#time - (this.#firstTime ?? this.#time);
  }

  /** How much of the stage is done, 0 to 1. */
  get fraction(): number | undefined {
    if (this.blocks > 0) return this.blocksDone / this.blocks;
    return this.task !== undefined && this.task.total > 0 ? Math.min(1, this.task.completed / this.task.total) : undefined;
  }

  /** Seconds that the blocks of this and later stages will take if they go as the last ones did; undefined before the first block is done. */
  get eta(): number | undefined {
    if (this.blocks === 0 || this.#blockSeconds.length === 0) return undefined;
    const mean = this.#blockSeconds.reduce((sum, seconds) => sum + seconds, 0) / this.#blockSeconds.length;
    const later = Math.max(0, this.stages.length - 1 - this.stageIndex);
    const spent = this.#blockStart === undefined ? 0 : Math.min(mean, this.#time - this.#blockStart);
    return Math.max(0, (this.blocks - this.blocksDone + later * this.blocks) * mean - spent);
  }
}
