import type { DeviceTensor, Graph, GramMatrix } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import { addValues, defineStatistic, type Statistic } from './statistic.js';

/** Width of a column block: wide enough to keep matrix products near their peak, narrow enough to skip close to half of them. */
const blockWidth = 384;

/** Most column blocks: eight skip 44 % of a matrix, and more would cut wide ones into many short products. */
const mostBlocks = 8;

/** Column blocks [start, end) of a matrix of `size` columns, all nearly equal and about `blockWidth` wide, wider ones where there would be too many. */
function columnBlocks(size: number): [start: number, end: number][] {
  const count = Math.min(mostBlocks, Math.ceil(size / blockWidth));
  const width = Math.ceil(size / count);
  return Array.from({ length: count }, (_, index) => [index * width, Math.min(size, (index + 1) * width)]);
}

/**
 * Σ xᵀx over a module's input rows, the Gram matrix that GPTQ halves into its Hessian (arXiv 2210.17323, §3). It is symmetric, so only the block
 * rows Xᵢᵀ·X[:, i:] of the upper triangle are accumulated, in float32, each by one Gemm that adds to its running sum; the lower half is copied at the end.
 */
export const gramStatistic: Statistic<GramMatrix> = defineStatistic<GramMatrix>({
  id: 'gram',
  state: (size) => columnBlocks(size).map(([start, end]) => ({ dtype: 'float32', shape: [end - start, size - start] })),
  accumulate: (builder, rows, state, size) =>
    columnBlocks(size).map(([start, end], index) => {
      const right = start === 0 ? rows : builder.slice(rows, 1, start, size);
      const left = start === 0 && end === size ? rows : builder.slice(rows, 1, start, end);
      return builder.gemm(left, right, state[index], { transA: true });
    }),
  combine: addValues,
  async finish(state, { inFeatures, rows, run }) {
    const inputs = Object.fromEntries(state.map((tensor, index) => [`block_${String(index)}`, tensor]));
    const { matrix } = await run(`gram ${String(inFeatures)}`, () => assemblyGraph(inFeatures), inputs);
    return { matrix: matrix as DeviceTensor, rows };
  },
  dispose: ({ matrix }) => {
    matrix[Symbol.dispose]();
  },
});

/** Block row i of the whole matrix: the transposes of what stands above it, then its own. */
function assemblyGraph(size: number): Graph {
  const builder = new GraphBuilder('gram-assembly');
  const blocks = columnBlocks(size);
  const upper = blocks.map(([start, end], index) => builder.input(`block_${String(index)}`, 'float32', [end - start, size - start]));
  const rows = blocks.map(([start, end], index): Value => {
    const left = blocks.slice(0, index).map(([above], row) => builder.transpose(builder.slice(upper[row]!, 1, start - above, end - above), [1, 0]));
    return left.length === 0 ? upper[index]! : builder.concat([...left, upper[index]!], 1);
  });
  builder.output(rows.length === 1 ? builder.op('Identity', [rows[0]]) : builder.concat(rows, 0), 'matrix');
  return builder.build();
}
