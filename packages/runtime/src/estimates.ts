import { dtypeBytes, elementCount, tensorBytes, type DType, type Model, type ModuleInfo, type ModulePlan, type StatisticRef } from '@pare/core';
import type { ChosenBackend, PreparedStage } from './prepare.js';

/** Length and number of calibration windows. */
export interface WindowSizes {
  readonly samples: number;
  readonly sequenceLength: number;
}

/** Floating-point operations per second. */
export interface Rate {
  readonly forward: number;
  readonly solver: number;
}

export interface StageEstimate {
  readonly rate: Rate;
  /** Bytes of hidden states, which may wait on disk instead. */
  readonly hiddenBytes: number;
  readonly stage: {
    readonly statistics: readonly string[];
    readonly storedBits: number;
    readonly solverFlops: number;
    readonly calibrationFlops: number;
    readonly workingBytes: number;
    /** With hidden states on disk. */
    readonly peakBytes: number;
    readonly seconds: number;
  };
}

const mebibyte = 2 ** 20;

/** Resident memory of Node with the host, a tokenizer and an inference runtime loaded, before any weights. */
const processBytes = 280 * mebibyte;

/** Tokens that run through a block at once (the block runner's default). */
const chunkTokens = 2048;

/** Usual rates by backend, per parallel worker, of devices that do not say theirs; what a user's machine reaches differs by a small factor. */
const workerRates: Readonly<Record<string, Rate>> = {
  reference: { forward: 3e8, solver: 3e8 },
  cpu: { forward: 5e10, solver: 4e9 },
};

function rateOf({ id, device }: ChosenBackend): Rate {
  if (device?.rate !== undefined) return device.rate;
  const rate = workerRates[id] ?? { forward: 1e10, solver: 1e9 };
  const workers = id === 'reference' ? 1 : (device?.parallelism ?? 1);
  return { forward: rate.forward * workers, solver: rate.solver * workers };
}

/** What a stage will take, from shapes alone. */
export function stageEstimate(stage: PreparedStage, windows: WindowSizes, backend: ChosenBackend): StageEstimate {
  const { model } = stage;
  const rate = rateOf(backend);
  const plans = [...stage.plans.values()];
  const workingBytes = Math.max(0, ...plans.map((plan) => plan.workingBytes));
  const storedBits = sum(plans.map((plan) => plan.storedBits));
  const solverFlops = sum(plans.map((plan) => plan.flops));
  const streaming = stage.technique.scope === 'block';
  const calibration = streaming ? calibrationEstimate(stage, model, windows) : { hiddenBytes: 0, flops: 0, blockBytes: 0, statisticBytes: 0, activationBytes: 0 };
  // Codes are held one to a byte, and once more while they are packed for the journal.
  const resultBytes = 2 * Math.max(...batchesOf(stage.targets.map(({ info }) => info)).map((modules) => sum(modules.map(elements))));
  // Inference runtimes keep the memory of intermediate values for the next run: of the calibrating graph and of the forward graph.
  const collecting = calibration.blockBytes + 2 * calibration.activationBytes + calibration.statisticBytes;
  const solving = 2 * calibration.activationBytes + calibration.statisticBytes + workingBytes + resultBytes;
  return {
    rate,
    hiddenBytes: calibration.hiddenBytes,
    stage: {
      statistics: [...new Set(stage.targets.flatMap(({ options }) => statisticsOf(stage, options).map(({ id }) => id)))],
      storedBits,
      solverFlops,
      calibrationFlops: calibration.flops,
      workingBytes,
      peakBytes: processBytes + Math.max(collecting, solving, streaming ? embeddingBytes(model) : 0),
      seconds: solverFlops / rate.solver + calibration.flops / rate.forward,
    },
  };
}

/** Resident memory of writing a model: its largest tensor as stored and as float32. */
export function writingBytes(model: Model): number {
  return processBytes + Math.max(0, ...model.tensors.map((tensor) => tensorBytes(tensor) + 4 * elementCount(tensor.shape)));
}

/** Memory of one pass over the windows, and its floating-point operations. */
function calibrationEstimate(stage: PreparedStage, model: Model, windows: WindowSizes): {
  hiddenBytes: number;
  flops: number;
  blockBytes: number;
  statisticBytes: number;
  activationBytes: number;
} {
  const { description, modules } = model;
  const tokens = windows.samples * windows.sequenceLength;
  const chunk = Math.min(tokens, Math.max(chunkTokens, windows.sequenceLength));
  const byBlock = batchesOf(modules.filter((module) => module.block !== undefined));
  const targets = new Map(stage.targets.map((target) => [target.info.name, target]));
  const blocksWithTargets = new Set(stage.targets.map(({ info }) => info.block));
  const lastBlock = Math.max(-1, ...stage.targets.map(({ info }) => info.block ?? -1));
  const sequential = stage.targets.some(({ options }) => stage.technique.sequential?.(options) === true);

  let flops = 0;
  let statisticBytes = 0;
  for (const block of byBlock) {
    const index = block[0]!.block!;
    if (index > lastBlock) continue;
    const { attention, mlp } = description.blocks[index]!;
    const share = (module: ModuleInfo): number => (mlp.kind === 'moe' && module.expert !== undefined ? mlp.expertsPerToken / mlp.experts.length : 1);
    const attentionFlops = 2 * windows.sequenceLength * attention.heads * attention.headSize;
    const forward = tokens * (sum(block.map((module) => 2 * elements(module) * share(module))) + attentionFlops);
    const inputs = new Map<string, { state: number; tokens: number }>();
    for (const module of block) {
      const target = targets.get(module.name);
      if (target === undefined) continue;
      const state = sum(statisticsOf(stage, target.options).map((statistic) => stateElements(statistic, module.shape[1])));
      inputs.set(`${String(module.step)} ${String(module.expert)} ${String(module.shape[1])}`, { state, tokens: tokens * share(module) });
    }
    const steps = sequential ? new Set(block.filter((module) => targets.has(module.name)).map((module) => module.step)).size : 1;
    // One pass to collect (one a step when sequential), one to advance; every statistic costs a product with its running value.
    if (blocksWithTargets.has(index)) flops += forward * steps;
    if (index < lastBlock) flops += forward;
    flops += sum([...inputs.values()].map((input) => 2 * input.state * input.tokens));
    // The running value and the finished one.
    statisticBytes = Math.max(statisticBytes, 8 * sum([...inputs.values()].map((input) => input.state)));
  }

  const widest = Math.max(description.hiddenSize, ...modules.filter(({ block }) => block !== undefined).map(({ shape }) => shape[0]));
  const heads = Math.max(...description.blocks.map(({ attention }) => attention.heads));
  return {
    hiddenBytes: 4 * tokens * description.hiddenSize,
    flops,
    statisticBytes,
    blockBytes: Math.max(0, ...byBlock.map((block) => 4 * sum(block.map(elements)) + 6 * Math.max(...block.map(elements)))),
    activationBytes: 4 * chunk * (4 * description.hiddenSize + 3 * widest + 2 * heads * windows.sequenceLength),
  };
}

/** Bytes of the embedding tables, read whole in their stored type while the windows are looked up. */
function embeddingBytes(model: Model): number {
  const { embedding } = model.description;
  const names = new Set([`${embedding.module}.weight`, ...(embedding.positions === undefined ? [] : [`${embedding.positions.module}.weight`])]);
  return sum(model.tensors.filter((tensor) => names.has(tensor.name)).map(tensorBytes));
}

export interface OutputEstimate {
  readonly outputBytes: number;
  readonly diskBytes: number;
}

/** Room for configuration, tokenizer and file headers. */
const companionBytes = 32 * mebibyte;

/** Bytes of the result: changed modules by their plans, everything else as the source stores it. Disk: one output a format, and the journal. */
export function outputEstimate(model: Model, finalPlans: ReadonlyMap<string, ModulePlan>, stages: readonly PreparedStage[], formats: number): OutputEstimate {
  const changed = model.modules.filter((module) => finalPlans.has(module.name));
  const replacedBytes = sum(changed.map((module) => storedBytes(module, model)));
  const outputBytes = Math.max(0, Math.round(model.bytes - replacedBytes + sum([...finalPlans.values()].map(({ storedBits, writtenBits = storedBits }) => writtenBits / 8))));
  const journalBytes = sum(stages.flatMap((stage) => [...stage.plans.values()].map((plan) => plan.storedBits / 8)));
  const workBytes = Math.max(0, ...stages.flatMap((stage) => [...stage.plans.values()].map(({ workFolderBytes = 0 }) => workFolderBytes)));
  return { outputBytes, diskBytes: Math.round(Math.max(1, formats) * outputBytes + journalBytes + workBytes + companionBytes) };
}

/** Bytes that a module takes in the source. Models of @pare/model know; of others' compressed weights only the dense size can be told. */
function storedBytes(module: ModuleInfo, model: Model): number {
  if (module.sharedWith !== undefined) return 0;
  const { storedBytes: ask } = model as { storedBytes?: (name: string) => number };
  return ask === undefined ? dtypeBytes(module.dtype, elements(module)) : ask.call(model, module.name);
}

function statisticsOf(stage: PreparedStage, options: unknown): readonly StatisticRef<unknown>[] {
  return stage.technique.statistics?.(options) ?? [];
}

/** Elements of a statistic's running value; a vector for one whose definition is not at hand. */
function stateElements(statistic: StatisticRef<unknown>, inFeatures: number): number {
  const { state } = statistic as { state?: (inFeatures: number) => readonly { readonly dtype: DType; readonly shape: readonly number[] }[] };
  return state === undefined ? inFeatures : sum(state(inFeatures).map(({ shape }) => elementCount(shape)));
}

/** Modules by block, those outside blocks together. */
function batchesOf(modules: readonly ModuleInfo[]): ModuleInfo[][] {
  const byBlock = new Map<number | undefined, ModuleInfo[]>();
  for (const module of modules) {
    const list = byBlock.get(module.block);
    if (list === undefined) byBlock.set(module.block, [module]);
    else list.push(module);
  }
  return [...byBlock.values()];
}

function elements({ shape }: ModuleInfo): number {
  return shape[0] * shape[1];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
