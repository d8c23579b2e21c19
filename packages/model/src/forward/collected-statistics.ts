import type { StatisticRef } from '@pare/core';
import type { Statistic } from '../statistics/statistic.js';

/** Statistics of the inputs of some modules. Modules that read the same input share one value. Owns what the values keep on the device. */
export class CollectedStatistics implements Disposable {
  readonly #values = new Map<string, unknown>();
  readonly #disposals: (() => void)[] = [];

  /** Adds a finished value for all modules that share it. */
  add<T>(modules: readonly string[], statistic: Statistic<T>, value: T): void {
    for (const module of modules) this.#values.set(key(module, statistic), value);
    this.#disposals.push(() => statistic.dispose?.(value));
  }

  has(module: string, statistic: StatisticRef<unknown>): boolean {
    return this.#values.has(key(module, statistic));
  }

  /** The value for a module's input. */
  get<T>(module: string, statistic: StatisticRef<T>): T {
    if (!this.has(module, statistic)) throw new Error(`statistic "${statistic.id}" of module "${module}" was not requested`);
    return this.#values.get(key(module, statistic)) as T;
  }

  [Symbol.dispose](): void {
    for (const dispose of this.#disposals.splice(0).reverse()) dispose();
    this.#values.clear();
  }
}

function key(module: string, statistic: StatisticRef<unknown>): string {
  return `${statistic.id}\n${module}`;
}
