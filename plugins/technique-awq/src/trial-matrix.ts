import { float32Tensor, type DeviceTensor, type HostTensor } from '@pare/core';
import type { ExecutableCache } from '@pare/model';
import { roundingGraph, type Rounded } from './rounding-graph.js';
import { roundingError, type TrialGrid } from './trial-rounding.js';

/** A matrix [out, in] that a trial made: in host memory, whose array may be detached, or on the device, where the caller disposes it. */
export type TrialValues = (HostTensor & { readonly data: Float32Array }) | DeviceTensor;

/** Cuts of W·diag(s). */
export interface TrialCuts extends Disposable {
  /** Largest magnitude of each group of W·diag(s), [out, groups]. */
  readonly largest: Float64Array;
  /** (Q(clamp(v, ±limit)) − v)·diag(s)⁻¹ for v = W·diag(s). @param shrink limits as a share of the largest magnitudes */
  error(shrink: number): Promise<DeviceTensor>;
}

/** A matrix [out, in] whose inputs are scaled and which is rounded to nearest on a grid, over and over with other scales: on the device, where it lies until it is disposed. */
export class TrialMatrix implements Disposable {
  readonly #executables: ExecutableCache;
  readonly #weight: Float32Array;
  readonly #columns: number;
  readonly #grid: TrialGrid;
  #stored: DeviceTensor | undefined;

  constructor(executables: ExecutableCache, weight: Float32Array, columns: number, grid: TrialGrid) {
    this.#executables = executables;
    this.#weight = weight;
    this.#columns = columns;
    this.#grid = grid;
  }

  /** Q(W·diag(s))·diag(s)⁻¹. */
  async rounded(scales: Float64Array): Promise<DeviceTensor> {
    using given = this.#scales(scales);
    return await this.#run('rounded', { scales: given });
  }

  /** Q(W·diag(s))·diag(s)⁻¹ − W; in doubles where that costs no copy to a memory of the device's own. */
  async error(scales: Float64Array): Promise<TrialValues> {
    if (this.#executables.backend.device.separate === undefined) return float32Tensor([this.#rows, this.#columns], roundingError(this.#weight, this.#columns, scales, this.#grid));
    using given = this.#scales(scales);
    return await this.#run('error', { scales: given });
  }

  async cuts(scales: Float64Array): Promise<TrialCuts> {
    const { backend } = this.#executables;
    const given = this.#scales(scales);
    try {
      using found = await this.#run('largest', { scales: given });
      return {
        largest: Float64Array.from((await backend.read(found)).data as Float32Array),
        error: async (shrink) => {
          using share = backend.write(float32Tensor([], Float32Array.of(shrink)));
          return await this.#run('cut', { scales: given, share });
        },
        [Symbol.dispose]: () => given[Symbol.dispose](),
      };
    } catch (error) {
      given[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#stored?.[Symbol.dispose]();
    this.#stored = undefined;
  }

  get #rows(): number {
    return this.#weight.length / this.#columns;
  }

  #scales(scales: Float64Array): DeviceTensor {
    return this.#executables.backend.write(float32Tensor([this.#columns], Float32Array.from(scales)));
  }

  async #run(wanted: Rounded, inputs: Readonly<Record<string, DeviceTensor>>): Promise<DeviceTensor> {
    const [rows, columns, grid] = [this.#rows, this.#columns, this.#grid];
    this.#stored ??= this.#executables.backend.write(float32Tensor([rows, columns], this.#weight));
    const key = `round ${wanted} ${String(rows)} ${String(columns)} ${JSON.stringify(grid)}`;
    const executable = await this.#executables.get(key, () => roundingGraph(wanted, rows, columns, grid));
    return (await executable.run({ weight: this.#stored, ...inputs }))['values']!;
  }
}
