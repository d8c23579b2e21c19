import type { DeviceTensor, Graph } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import type { ExecutableCache } from '@pare/model';
import type { TrialValues } from './trial-matrix.js';

/** Quadratic forms of weight errors over Gram matrices, computed where the matrices are. */
export class DeviceLosses {
  readonly #executables: ExecutableCache;

  constructor(executables: ExecutableCache) {
    this.#executables = executables;
  }

  /**
   * tr(Δ·G·Δᵀ) = Σ over tokens of ‖Δ·x‖² for Δ [out, in] and G = Σ x·xᵀ [in, in]. The rows' sums are float32, their sum is float64.
   * @param error used up
   */
  async trace(error: TrialValues, gram: DeviceTensor): Promise<number> {
    const [rows, size] = error.shape as [number, number];
    const sums = await this.#sums(`trace ${String(rows)} ${gram.dtype} ${String(size)}`, () => traceGraph(rows, size, gram.dtype), error, { gram });
    return sums.reduce((total, value) => total + value, 0);
  }

  /**
   * Σ over tokens of (Σ_{j ∈ g} Δ_j·x_j)² for every row and group g of neighbouring inputs: [groups, out].
   * @param error Δ [out, in]; used up
   * @param blocks the diagonal blocks of a Gram matrix, `gramBlocks`
   */
  groups(error: TrialValues, blocks: DeviceTensor): Promise<Float32Array> {
    const [groups, width] = blocks.shape as [number, number, number];
    const rows = error.shape[0]!;
    return this.#sums(`groups ${String(rows)} ${String(groups)} ${String(width)}`, () => groupsGraph(rows, groups, width), error, { blocks });
  }

  /** The blocks of `width` neighbouring inputs on the diagonal of a Gram matrix: [groups, width, width]. The caller disposes them. */
  async gramBlocks(gram: DeviceTensor, width: number): Promise<DeviceTensor> {
    const [size] = gram.shape as [number, number];
    const executable = await this.#executables.get(`blocks ${gram.dtype} ${String(size)} ${String(width)}`, () => blocksGraph(size, width, gram.dtype));
    return (await executable.run({ gram }))['blocks']!;
  }

  /** The output `sums` of a graph over an error, which is used up. */
  async #sums(key: string, build: () => Graph, error: TrialValues, inputs: Readonly<Record<string, DeviceTensor>>): Promise<Float32Array> {
    const { backend } = this.#executables;
    using given = 'data' in error ? backend.write(error, { transfer: true }) : error;
    const executable = await this.#executables.get(key, build);
    using sums = (await executable.run({ error: given, ...inputs }))['sums']!;
    return (await backend.read(sums)).data as Float32Array;
  }
}

function traceGraph(rows: number, size: number, dtype: DeviceTensor['dtype']): Graph {
  const builder = new GraphBuilder('awq-trace');
  const error = builder.input('error', 'float32', [rows, size]);
  const gram = builder.cast(builder.input('gram', dtype, [size, size]), 'float32');
  builder.output(builder.reduceSum(builder.mul(builder.matmul(error, gram), error), [-1], false), 'sums');
  return builder.build();
}

function groupsGraph(rows: number, groups: number, width: number): Graph {
  const builder = new GraphBuilder('awq-groups');
  const error = builder.reshape(builder.input('error', 'float32', [rows, groups * width]), [rows, groups, width]);
  const byGroup = builder.transpose(error, [1, 0, 2]);
  const blocks = builder.input('blocks', 'float32', [groups, width, width]);
  builder.output(builder.reduceSum(builder.mul(builder.matmul(byGroup, blocks), byGroup), [-1], false), 'sums');
  return builder.build();
}

function blocksGraph(size: number, width: number, dtype: DeviceTensor['dtype']): Graph {
  const builder = new GraphBuilder('awq-blocks');
  const gram = builder.cast(builder.input('gram', dtype, [size, size]), 'float32');
  const starts = Array.from({ length: size / width }, (_, index) => index * width);
  const blocks = starts.map((start) => builder.unsqueeze(builder.slice(builder.slice(gram, 0, start, start + width), 1, start, start + width), [0]));
  builder.output(blocks.length === 1 ? builder.op('Identity', [blocks[0]]) : builder.concat(blocks, 0), 'blocks');
  return builder.build();
}
