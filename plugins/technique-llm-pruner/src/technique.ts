import {
  apiVersion,
  createRandom,
  defineTechnique,
  dtypeBits,
  pareError,
  throwIfAborted,
  type Model,
  type ModelRemoval,
  type ModelSummary,
  type ModuleReport,
  type TargetModule,
  type Technique,
  type TechniqueContext,
} from '@pare/core';
import { remainingShape, sliceModel } from '@pare/model';
import { countsAfter, finalCounts, lowest, lowestOfAll } from './choose.js';
import { measure, needsGradients, type Measurement } from './importance.js';
import { findLayers, type Layer } from './layers.js';
import { llmPrunerOptions, type LlmPrunerOptions } from './options.js';
import { AxisScores } from './scores.js';

/**
 * LLM-Pruner (Ma, Fang & Wang, NeurIPS 2023, arXiv 2305.11627): groups of coupled weights are found in the graph, scored by what the loss would lose without them, and the
 * least important are taken out whole. What remains is a smaller dense model.
 */
export const llmPruner: Technique<LlmPrunerOptions> = defineTechnique<LlmPrunerOptions>({
  id: 'llm-pruner',
  api: apiVersion,
  title: 'LLM-Pruner',
  summary: 'Takes out the heads and neurons, hidden channels or blocks whose loss matters least by gradients on a few short texts; the rest is a smaller dense model.',
  family: 'pruning',
  scope: 'model',
  paper: 'arXiv:2305.11627',
  options: llmPrunerOptions,
  accepts: ['dense'],
  produces: ['dense'],
  calibrated: needsGradients,
  restructure: plannedRemoval,
  plan(targets, summary) {
    const removal = plannedRemoval(targets, summary);
    const dropped = new Set(removal.blocks);
    return targets.map(({ info: { name, shape, dtype, block }, options }) => {
      const elements = shape[0] * shape[1];
      const remaining = block !== undefined && dropped.has(block) ? 0 : remainingShape(removal, `${name}.weight`, shape).reduce((product, size) => product * size, 1);
      // A forward pass to keep the inputs of blocks, and forward and backward again.
      const passes = needsGradients(options) ? 8 * options.samples * options.sequenceLength * options.iterations : 0;
      return {
        module: name,
        produces: 'dense' as const,
        storedBits: remaining * dtypeBits(dtype),
        ...(options.ranking === 'global' ? { estimated: true } : {}),
        flops: elements * (2 + passes),
        // All weights in float32 on the device; of the matrix at work the gradient, and both on the host.
        workingBytes: (needsGradients(options) ? 4 * summary.parameters * (options.importance === 'mixed' ? 2 : 1) : 0) + 12 * elements,
      };
    });
  },
  async apply(context) {
    const { targets, model, remove } = context;
    const { granularity } = targets[0]!.options;
    const { removal, reports } = granularity === 'layer' ? await dropBlocks(context) : await pruneUnits(context, model);
    await remove(removal, reports);
  },
});

/** What will go, as far as shapes tell: the first units of each layer stand for those that importance chooses. */
function plannedRemoval(targets: readonly TargetModule<LlmPrunerOptions>[], summary: ModelSummary): ModelRemoval {
  const { granularity, multipleOf, ranking } = targets[0]!.options;
  if (granularity === 'layer') return { slices: [], removed: [], blocks: targetedBlocks(targets).slice(0, droppedBlocks(targets, summary)) };
  const { groups, layers } = findLayers(targets, summary);
  if (layers.length === 0) {
    const reason = 'nothing that heads, neurons or experts are found at is targeted; target attention’s output projection, the down projection, or the router';
    throw pareError('PARE_TARGET_REFUSED', { stage: 'llm-pruner', problems: [{ module: targets[0]!.info.name, reason }] });
  }
  const counts = finalCounts(layers, multipleOf);
  // Formats have to know that layers will differ.
  if (ranking === 'global') unbalance(layers, counts);
  return { ...groups.group(layers.flatMap(({ units }, index) => units.slice(0, counts[index]))), blocks: [] };
}

/** Moves one unit from one layer to another of its kind. */
function unbalance(layers: readonly Layer[], counts: number[]): void {
  for (const [index, { kind }] of layers.entries()) {
    const other = layers.findIndex((layer, place) => place > index && layer.kind === kind && layer.units.length - counts[place]! > layer.minimum);
    if (counts[index] === 0 || other < 0) continue;
    counts[index]!--;
    counts[other]!++;
    return;
  }
}

function targetedBlocks(targets: readonly TargetModule<LlmPrunerOptions>[]): number[] {
  return [...new Set(targets.flatMap(({ info: { block } }) => block ?? []))].sort((a, b) => a - b);
}

/** Blocks that go: the share of those that are targeted. @throws PARE_TARGET_REFUSED when none would remain */
function droppedBlocks(targets: readonly TargetModule<LlmPrunerOptions>[], { description: { blocks } }: Pick<ModelSummary, 'description'>): number {
  const { ratio } = targets[0]!.options;
  const { length } = targetedBlocks(targets);
  const count = length - Math.floor(length * (1 - ratio));
  if (count < blocks.length) return count;
  const reason = `a ratio of ${String(ratio)} takes all of the ${String(blocks.length)} blocks; choose a smaller one`;
  throw pareError('PARE_TARGET_REFUSED', { stage: 'llm-pruner', problems: [{ module: targets[0]!.info.name, reason }] });
}

interface Pruned {
  readonly removal: ModelRemoval;
  readonly reports: ReadonlyMap<string, ModuleReport>;
}

/** Scores units, takes out the least important, and again on what remains until the share is reached. */
async function pruneUnits(context: TechniqueContext<LlmPrunerOptions>, model: Model): Promise<Pruned> {
  const { targets, signal, seed, progress } = context;
  const { options } = targets[0]!;
  const { iterations, multipleOf, ranking, reduction, importance } = options;
  const original = findLayers(targets, model);
  const counts = finalCounts(original.layers, multipleOf);
  // Indices of the units that are left, by layer.
  const left = original.layers.map(({ units }) => units.map((_, index) => index));
  const lost = original.layers.map(() => 0);
  const random = createRandom(seed);
  let current = model;
  let removal: ModelRemoval = { slices: [], removed: [], blocks: [] };
  for (let step = 0; step < iterations; step++) {
    throwIfAborted(signal, 'LLM-Pruner');
    progress.report({ completed: step, total: iterations, unit: 'steps', detail: importance });
    const { layers } = step === 0 ? original : findLayers(targets, current);
    const scores = await scoresOf(layers, { model: current, backend: context.backend, windows: windowsOf(context), options, signal }, random);
    const gone = original.layers.map(({ units }, index) => units.length - left[index]!.length);
    const wanted = countsAfter(counts, step, iterations).map((count, index) => Math.max(0, count - gone[index]!));
    const chosen = ranking === 'local' ? scores.map((each, index) => lowest(each, wanted[index]!)) : chooseGlobally(layers, scores, countsAfter(counts, step, iterations), gone);
    for (const [index, places] of chosen.entries()) {
      const total = scores[index]!.reduce((sum, score) => sum + score, 0);
      const share = places.reduce((sum, place) => sum + scores[index]![place]!, 0) / (total === 0 ? 1 : total);
      // Shares of what was left in each step: 1 − Π (1 − share) is lost in all.
      lost[index] = 1 - (1 - lost[index]!) * (1 - share);
      const going = new Set(places);
      left[index] = left[index]!.filter((_, place) => !going.has(place));
    }
    const units = original.layers.flatMap(({ units: all }, index) => {
      const kept = new Set(left[index]);
      return all.filter((_, unit) => !kept.has(unit));
    });
    removal = units.length === 0 ? removal : { ...original.groups.group(units), blocks: [] };
    current = sliceModel(model, removal);
  }
  const reports = original.layers.map(({ module, units }, index): [string, ModuleReport] => {
    const details = { units: units.length, removed: units.length - left[index]!.length };
    return [module, { details: reduction === 'prod' || importance === 'random' ? details : { ...details, importanceRemoved: lost[index]! } }];
  });
  return { removal, reports: new Map(reports) };
}

/** The least important of all layers of a kind, until as many are gone as a local ranking would take. */
function chooseGlobally(layers: readonly Layer[], scores: readonly (readonly number[])[], goal: readonly number[], gone: readonly number[]): number[][] {
  const count = new Map<Layer['kind'], number>();
  for (const [index, { kind }] of layers.entries()) count.set(kind, (count.get(kind) ?? 0) + goal[index]! - gone[index]!);
  return lowestOfAll(layers.map(({ kind, units, minimum }, index) => ({ kind, scores: scores[index]!, most: units.length - minimum })), count);
}

async function scoresOf(layers: readonly Layer[], measurement: Measurement, random: () => number): Promise<number[][]> {
  const { importance, reduction } = measurement.options;
  if (importance === 'random') return layers.map(({ units }) => units.map(random));
  const scores = new AxisScores(layers.flatMap(({ units }) => units));
  await measure(measurement, scores.tensors, (tensor, shape, contribution) => scores.add(tensor, shape, contribution, importance === 'vector'));
  return layers.map(({ units }) => units.map((unit) => scores.unit(unit, reduction)));
}

/** Takes out the blocks whose parameters are worth least together. */
async function dropBlocks(context: TechniqueContext<LlmPrunerOptions>): Promise<Pruned> {
  const { targets, model, backend, signal, seed } = context;
  const { options } = targets[0]!;
  const blocks = targetedBlocks(targets);
  const worth = new Map<number, number>(blocks.map((block) => [block, 0]));
  if (options.importance === 'random') {
    const random = createRandom(seed);
    for (const block of blocks) worth.set(block, random());
  } else {
    const owner = new Map<string, number>();
    for (const block of blocks) {
      const prefix = `${model.description.blocks[block]!.name}.`;
      for (const { name } of model.tensors) if (name.startsWith(prefix)) owner.set(name, block);
    }
    await measure({ model, backend, windows: windowsOf(context), options, signal }, new Set(owner.keys()), (tensor, shape, contribution) => {
      let sum = 0;
      for (let index = 0; index < shape.reduce((product, size) => product * size, 1); index++) sum += options.importance === 'vector' ? contribution(index) : Math.abs(contribution(index));
      const block = owner.get(tensor)!;
      worth.set(block, worth.get(block)! + Math.abs(sum));
    });
  }
  const chosen = lowest(blocks.map((block) => worth.get(block)!), droppedBlocks(targets, model)).map((place) => blocks[place]!);
  return { removal: { slices: [], removed: [], blocks: chosen.sort((a, b) => a - b) }, reports: new Map() };
}

/** The windows that gradients are taken of, cut to one length. @throws PARE_CALIBRATION_MISSING */
function windowsOf({ windows, targets }: TechniqueContext<LlmPrunerOptions>): Int32Array[] {
  const { samples, sequenceLength } = targets[0]!.options;
  if (windows.length === 0 && needsGradients(targets[0]!.options)) throw pareError('PARE_CALIBRATION_MISSING', { techniques: ['llm-pruner'] });
  const taken = windows.slice(0, samples);
  const length = Math.min(sequenceLength, ...taken.map((window) => window.length));
  return taken.map((window) => window.subarray(0, length));
}
