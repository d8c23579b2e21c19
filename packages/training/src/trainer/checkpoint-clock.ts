/** When checkpoints are written. */
export interface CheckpointTimes {
  /**
   * After so many steps each. By default after the first step, so that a disk without room for them is noticed early, and then when 30 seconds and twenty times the time that writing took have
   * gone by. The last step writes one in any case.
   */
  readonly every?: number | undefined;
}

/** Tells when the next checkpoint is due. */
export class CheckpointClock {
  readonly #every: number | undefined;
  /** Time of the next one, in milliseconds. */
  #next = 0;

  constructor({ every }: CheckpointTimes) {
    this.#every = every;
  }

  /** @param step finished steps */
  due(step: number): boolean {
    return this.#every === undefined ? performance.now() >= this.#next : step % this.#every === 0;
  }

  /** Writes one. */
  async timed(write: () => Promise<void>): Promise<void> {
    const started = performance.now();
    await write();
    const now = performance.now();
    this.#next = now + Math.max(30_000, 20 * (now - started));
  }
}
