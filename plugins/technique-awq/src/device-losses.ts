import { float32Tensor, type Backend, type DeviceTensor, type Executable, type Graph } from '@pare/core';
import { GraphBuilder } from '@pare/graph';

/** Quadratic forms of weight errors over Gram matrices, computed where the matrices are. Graphs are compiled once for each shape and go with the object. */
export class DeviceLosses implements AsyncDisposable {
  readonly #backend: Backend;
  readonly #executables = new Map<string, Executable>();

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /**
   * tr(Δ·G·Δᵀ) = Σ over tokens of ‖Δ·x‖² for Δ [out, in] and G = Σ x·xᵀ [in, in]. The rows' sums are float32, their sum is float64.
   * @param error may be detached
   */
  async trace(error: Float32Array, gram: DeviceTensor): Promise<number> {
    const [size] = gram.shape as [number, number];
    const rows = error.length / size;
    const executable = await this.#compiled(`trace ${String(rows)} ${gram.dtype} ${String(size)}`, () => traceGraph(rows, size, gram.dtype));
    using given = this.#backend.write(float32Tensor([rows, size], error), { transfer: true });
    using sums = (await executable.run({ error: given, gram }))['sums']!;
    let total = 0;
    for (const value of (await this.#backend.read(sums)).data) total += Number(value);
    return total;
  }

  /**
   * Σ over tokens of (Σ_{j ∈ g} Δ_j·x_j)² for every row and group g of neighbouring inputs: [groups, out].
   * @param error Δ [out, in]; may be detached
   * @param blocks the diagonal blocks of a Gram matrix, `gramBlocks`
   */
  async groups(error: Float32Array, blocks: DeviceTensor): Promise<Float32Array> {
    const [groups, width] = blocks.shape as [number, number, number];
    const rows = error.length / (groups * width);
    const executable = await this.#compiled(`groups ${String(rows)} ${String(groups)} ${String(width)}`, () => groupsGraph(rows, groups, width));
    using given = this.#backend.write(float32Tensor([rows, groups * width], error), { transfer: true });
    using sums = (await executable.run({ error: given, blocks }))['sums']!;
    return (await this.#backend.read(sums)).data as Float32Array;
  }

  /** The blocks of `width` neighbouring inputs on the diagonal of a Gram matrix: [groups, width, width]. The caller disposes them. */
  async gramBlocks(gram: DeviceTensor, width: number): Promise<DeviceTensor> {
    const [size] = gram.shape as [number, number];
    const executable = await this.#compiled(`blocks ${gram.dtype} ${String(size)} ${String(width)}`, () => blocksGraph(size, width, gram.dtype));
    return (await executable.run({ gram }))['blocks']!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const executable of this.#executables.values()) await executable[Symbol.asyncDispose]();
    this.#executables.clear();
  }

  async #compiled(key: string, build: () => Graph): Promise<Executable> {
    let executable = this.#executables.get(key);
    if (executable === undefined) {
      executable = await this.#backend.compile(build());
      this.#executables.set(key, executable);
    }
    return executable;
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
