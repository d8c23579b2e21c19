import type { DeviceTensor } from '@pare/core';
import { addValues, defineStatistic, type FinishContext, type Statistic } from './statistic.js';

/** A number per input feature, and the rows it was taken over. */
export interface FeatureMagnitudes {
  /** [in]. */
  readonly values: Float32Array;
  readonly rows: number;
}

async function readValues(state: readonly DeviceTensor[], { backend }: FinishContext): Promise<Float32Array> {
  return (await backend.read(state[0]!)).data as Float32Array;
}

/** max |x| of each input feature, as SmoothQuant (arXiv 2211.10438) takes it. 0 where no row was seen. */
export const absMaxStatistic: Statistic<FeatureMagnitudes> = defineStatistic<FeatureMagnitudes>({
  id: 'abs-max',
  state: (size) => [{ dtype: 'float32', shape: [size] }],
  accumulate: (builder, rows, [maxima]) => [builder.op('Max', [maxima, builder.reduceMax(builder.op('Abs', [rows]), [0])])],
  combine: (builder, [first], [second]) => [builder.op('Max', [first, second])],
  finish: async (state, context) => ({ values: await readValues(state, context), rows: context.rows }),
});

/** mean |x| of each input feature, as AWQ (arXiv 2306.00978) takes it. 0 where no row was seen. */
export const absMeanStatistic: Statistic<FeatureMagnitudes> = defineStatistic<FeatureMagnitudes>({
  id: 'abs-mean',
  state: (size) => [{ dtype: 'float32', shape: [size] }],
  accumulate: (builder, rows, [sums]) => [builder.add(sums!, builder.reduceSum(builder.op('Abs', [rows]), [0]))],
  combine: addValues,
  async finish(state, context) {
    const sums = await readValues(state, context);
    return { values: sums.map((sum) => sum / Math.max(1, context.rows)), rows: context.rows };
  },
});

/** Σ x² of each input feature: the square of its norm over the calibration tokens, as Wanda (arXiv 2306.11695) takes it. 0 where no row was seen. */
export const squareSumStatistic: Statistic<FeatureMagnitudes> = defineStatistic<FeatureMagnitudes>({
  id: 'square-sum',
  state: (size) => [{ dtype: 'float32', shape: [size] }],
  accumulate: (builder, rows, [sums]) => [builder.add(sums!, builder.reduceSum(builder.mul(rows, rows), [0]))],
  combine: addValues,
  finish: async (state, context) => ({ values: await readValues(state, context), rows: context.rows }),
});
