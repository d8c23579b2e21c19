import { apiVersion, defineTechnique, dtypeBits, type DType, type ModuleHandle, type ModuleInfo, type ModulePlan, type ModuleReport, type PluginContext, type TargetModule, type Technique, type TensorTrainWeight } from '@pare/core';
import { createPacer, RowTrainSolver } from '@pare/solvers';
import { coreShapes, denseWeight, largestRanks, tensorTrainWeight, trainDecoder, trainNumbers, type TrainShape } from '@pare/weights';
import { tensorGptOptions, trainSizes, type TensorGptOptions } from './options.js';

/**
 * TensorGPT (Xu, Xu & Mandic, arXiv 2307.00526): every token's embedding, folded to a tensor of many small sizes, is stored as a tensor train of its own (TT-SVD) and multiplied
 * out when it is looked up. No data, no training, and tokens stay independent of each other. All trains have the same ranks, so that the cores of token t are found by t
 * alone. A head tied to the embedding uses the same cores. The loss it reports is Σ ‖x − x̂‖² over all tokens.
 */
export const tensorgpt: Technique<TensorGptOptions> = defineTechnique<TensorGptOptions>({
  id: 'tensorgpt',
  api: apiVersion,
  title: 'TensorGPT',
  summary: 'Stores the embedding of every token as a tensor train and multiplies it out when it is looked up; needs no data.',
  family: 'factorization',
  scope: 'tensor',
  paper: 'arXiv:2307.00526',
  options: tensorGptOptions,
  targets: ['embedding'],
  accepts: ['dense'],
  produces: ['tensor-train', 'dense'],
  check: checkTarget,
  plan: (targets) => targets.map(planTrains),
  async apply({ modules, signal, progress }) {
    for (const module of modules) await compress(module, signal, progress);
  },
});

/** Storage type of the cores: the table's own, if weights are stored in that. */
function coreType(dtype: DType): 'float32' | 'float16' | 'bfloat16' {
  return dtype === 'float16' || dtype === 'bfloat16' ? dtype : 'float32';
}

function cappedShape({ info, options }: TargetModule<TensorGptOptions>): TrainShape {
  const sizes = trainSizes(options, info.shape[1]);
  return { sizes, ranks: largestRanks(sizes, options.maxRank) };
}

function checkTarget(target: TargetModule<TensorGptOptions>): string | undefined {
  const { info, options } = target;
  const [, columns] = info.shape;
  if (info.kind !== 'embedding') return `it is a ${info.kind} matrix, which inputs are multiplied by; tensor trains suit tables that are looked up: targets ["embedding"]`;
  const { sizes } = cappedShape(target);
  if (sizes.length < 2) return `factors [${sizes.join(', ')}] fold nothing; two or more sizes do`;
  const folded = sizes.reduce((product, size) => product * size, 1);
  if (folded < columns) return `factors ${sizes.join('×')} hold ${String(folded)} numbers; its rows have ${String(columns)}`;
  // A size more than needed would only add cores of zeros.
  if (folded >= 2 * columns * Math.max(...sizes)) return `factors ${sizes.join('×')} hold ${String(folded)} numbers, far more than the ${String(columns)} of a row; leave some out`;
  const numbers = storedBits(info, cappedShape(target)) / dtypeBits(info.dtype) / info.shape[0];
  if (options.tolerance > 0 || numbers < columns) return undefined;
  const saving = largestSavingRank(target);
  const help = saving === undefined ? 'no rank saves anything with these factors; more, smaller factors do' : `maxRank up to ${String(saving)} does`;
  return `maxRank ${String(options.maxRank)} takes ${String(numbers)} numbers a token, and the token itself ${String(columns)}: ${help}`;
}

function storedBits({ shape: [rows], dtype }: ModuleInfo, shape: TrainShape): number {
  return rows * trainNumbers(shape) * dtypeBits(coreType(dtype));
}

/** The largest maxRank whose trains are smaller than the rows; undefined when there is none. */
function largestSavingRank({ info, options }: TargetModule<TensorGptOptions>): number | undefined {
  const sizes = trainSizes(options, info.shape[1]);
  const saves = (rank: number): boolean => storedBits(info, { sizes, ranks: largestRanks(sizes, rank) }) < info.shape[0] * info.shape[1] * dtypeBits(info.dtype);
  let rank = 0;
  while (rank < options.maxRank && saves(rank + 1)) rank++;
  return rank === 0 ? undefined : rank;
}

/** With a tolerance the ranks are known after the run; the plan has the largest that save something. */
function planTrains(target: TargetModule<TensorGptOptions>): ModulePlan {
  const { info, options } = target;
  const [rows, columns] = info.shape;
  const sizes = trainSizes(options, columns);
  const shape: TrainShape = { sizes, ranks: largestRanks(sizes, largestSavingRank(target) ?? 1) };
  const bits = storedBits(info, shape);
  return {
    module: info.name,
    produces: 'tensor-train',
    storedBits: bits,
    ...(options.tolerance > 0 ? { estimated: true } : {}),
    flops: rows * trainFlops(shape) * (options.tolerance > 0 ? 2 : 1),
    // The float32 table, the cores in float32 and as they are stored.
    workingBytes: rows * columns * 4 + rows * trainNumbers(shape) * 4 + bits / 8,
  };
}

/** Of one row: Z·Zᵀ and Uᵀ·Z of each step, and about eight sweeps of rotations. */
function trainFlops(shape: TrainShape): number {
  let rest = shape.sizes.reduce((product, size) => product * size, 1);
  return coreShapes(shape)
    .slice(0, -1)
    .reduce((sum, [left, size, right]) => {
      rest /= size;
      const rows = left * size;
      return sum + rows * (rows + 1) * rest + 2 * rows * right * rest + 8 * (rows ** 2 / 2) * 18 * rows;
    }, 0);
}

/** Turns the embeddings into trains, token after token, or leaves them when a tolerance takes trains that are no smaller. @throws PARE_ABORTED */
async function compress(module: ModuleHandle<TensorGptOptions>, signal: AbortSignal, progress: PluginContext['progress']): Promise<void> {
  const { info, options } = module;
  const [rows, columns] = info.shape;
  const { data } = await module.weight();
  const most = cappedShape(module);
  const solver = new RowTrainSolver(most);
  const passes = options.tolerance > 0 ? 2 : 1;
  const pause = createPacer(signal, 'TensorGPT');
  const eachRow = async (pass: number, work: (row: Float32Array, index: number) => void): Promise<void> => {
    for (let row = 0; row < rows; row++) {
      work(data.subarray(row * columns, (row + 1) * columns), row);
      const waiting = pause();
      if (waiting === undefined) continue;
      progress.report({ completed: pass * rows + row + 1, total: passes * rows, unit: 'tokens', detail: info.name });
      await waiting;
    }
  };

  let { ranks } = most;
  if (options.tolerance > 0) {
    const needed = ranks.map(() => 1);
    await eachRow(0, (row) => {
      for (const [index, rank] of solver.ranksWithin(row, options.tolerance, most.ranks).entries()) needed[index] = Math.max(needed[index]!, rank);
    });
    ranks = needed;
  }
  const shape: TrainShape = { sizes: most.sizes, ranks };
  if (storedBits(info, shape) >= rows * columns * dtypeBits(info.dtype)) {
    const fallback = `tolerance ${String(options.tolerance)} takes ranks ${ranks.join(', ')}, ${String(trainNumbers(shape))} numbers a token, and the token itself has ${String(columns)}; kept dense`;
    return module.replace(await module.form(), { fallback });
  }

  const cores = coreShapes(shape).map((core) => new Float32Array(rows * core.reduce((product, size) => product * size, 1)));
  await eachRow(passes - 1, (row, index) => {
    solver.solve(row, ranks, (core, values, length) => {
      cores[core]!.set(values.subarray(0, length), index * length);
    });
  });
  // Cores are orthogonal but for the last, which is as long as the row at most: half precision holds them.
  const form = tensorTrainWeight(
    info.shape,
    shape.sizes,
    coreShapes(shape).map((core, index) => denseWeight(cores[index]!, [rows, ...core], coreType(info.dtype)).tensor),
  );
  await module.replace(form, errorOf(form, data, ranks));
  progress.report({ completed: passes * rows, total: passes * rows, unit: 'tokens' });
}

/** What was lost, storage type included: Σ ‖x − x̂‖², and the mean of ‖x − x̂‖ / ‖x‖ over tokens that are not zero. */
function errorOf(form: TensorTrainWeight, data: Float32Array, ranks: readonly number[]): ModuleReport {
  const [rows, columns] = form.shape;
  const decoder = trainDecoder(form);
  const decoded = new Float32Array(columns);
  let loss = 0;
  let relative = 0;
  let counted = 0;
  for (let row = 0; row < rows; row++) {
    decoder.decode(row, decoded);
    let [error, energy] = [0, 0];
    for (let column = 0; column < columns; column++) {
      const value = data[row * columns + column]!;
      error += (value - decoded[column]!) ** 2;
      energy += value * value;
    }
    loss += error;
    if (energy === 0) continue;
    relative += Math.sqrt(error / energy);
    counted++;
  }
  return { loss, details: { maxRank: Math.max(...ranks), numbersPerToken: trainNumbers({ sizes: form.sizes, ranks }), meanRelativeError: counted === 0 ? 0 : relative / counted } };
}
