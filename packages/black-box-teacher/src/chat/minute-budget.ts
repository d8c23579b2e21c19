import type { Clock } from './clock.js';

/**
 * A limit per minute as a bucket that fills steadily and holds a minute's worth. What is taken at once may be more than the bucket holds: then the full bucket goes, and the next one waits
 * until the debt is paid.
 */
export class MinuteBudget {
  readonly #perMinute: number;
  readonly #clock: Clock;
  #left: number;
  #filled: number;
  #queue: Promise<void> = Promise.resolve();

  constructor(perMinute: number, clock: Clock) {
    this.#perMinute = perMinute;
    this.#clock = clock;
    this.#left = perMinute;
    this.#filled = clock.now();
  }

  /** Waits for its turn and for the amount. Returns early when the signal fires. */
  async take(amount: number, signal?: AbortSignal): Promise<void> {
    const turn = this.#queue.then(() => this.#wait(amount, signal));
    this.#queue = turn;
    await turn;
  }

  /** Corrects an estimate afterwards. @param amount positive when more was used than taken */
  charge(amount: number): void {
    this.#left -= amount;
  }

  async #wait(amount: number, signal: AbortSignal | undefined): Promise<void> {
    const needed = Math.min(amount, this.#perMinute);
    for (;;) {
      this.#fill();
      if (signal?.aborted === true) return;
      // A hair's breadth, so that rounding cannot make it wait for nothing forever.
      if (this.#left >= needed - 1e-6) break;
      await this.#clock.wait(((needed - this.#left) * 60) / this.#perMinute, signal);
    }
    this.#left -= amount;
  }

  #fill(): void {
    const now = this.#clock.now();
    this.#left = Math.min(this.#perMinute, this.#left + ((now - this.#filled) * this.#perMinute) / 60);
    this.#filled = now;
  }
}
