import { pareError, throwIfAborted, type Backend, type BlockTrials, type DenseWeight, type Model, type ModelRemoval, type ModulePlan, type ModuleReport, type StatisticRef, type TargetModule, type TechniqueContext, type WeightForm } from '@pare/core';
import { pluginFailure } from './cancellation.js';
import type { Calibration } from './compress.js';
import type { BatchKey, BatchOutcome, BatchSummary, Journal, ModuleOutcome } from './journal.js';
import type { BlockRunner, CollectedStatistics, HiddenStates } from '@pare/model';
import type { ModelLibrary } from './model-library.js';
import { createHandles, finiteReport } from './module-handles.js';
import { createParameters } from './parameter-handles.js';
import { createPluginContext, deriveSeed, type HostCore } from './plugin-context.js';
import { readsText, type PreparedStage } from './prepare.js';

/** What the stages of one run share. */
export interface StageRun extends Pick<Calibration, 'windows' | 'prompts'> {
  readonly core: HostCore;
  readonly library: ModelLibrary;
  /** The source model. */
  readonly original: Model;
  /** The source model, without what earlier stages took out. */
  readonly model: Model;
  readonly backend: Backend;
  readonly journal: Journal;
  readonly seed: number;
  readonly spillBytes: number;
  readonly signal: AbortSignal;
  readonly results: RunResults;
}

/** Newest weight of each module that was changed so far, and what the technique that made it promised. Stages add to it. */
export class RunResults {
  readonly #loaders = new Map<string, () => Promise<WeightForm>>();
  readonly #plans = new Map<string, ModulePlan>();
  readonly #parameters = new Map<string, () => Promise<DenseWeight>>();

  copy(): RunResults {
    const copy = new RunResults();
    for (const [module, load] of this.#loaders) copy.set(module, this.#plans.get(module)!, load);
    for (const [name, load] of this.#parameters) copy.adjust(name, load);
    return copy;
  }

  set(module: string, plan: ModulePlan, load: () => Promise<WeightForm>): void {
    this.#loaders.set(module, load);
    this.#plans.set(module, plan);
    this.#parameters.delete(`${module}.weight`);
  }

  /** A tensor by its stored name; the dense matrix of a module, too. */
  adjust(parameter: string, load: () => Promise<DenseWeight>): void {
    this.#loaders.delete(parameter.replace(/\.weight$/, ''));
    this.#parameters.set(parameter, load);
  }

  /** The model with these results laid over it. */
  over(model: Model, library: ModelLibrary): Model {
    return this.#loaders.size + this.#parameters.size === 0 ? model : library.overlayModel(model, this.#loaders, this.#plans, this.#parameters);
  }
}

/** What a stage did, in the order of its targets. */
export interface StageOutcome {
  readonly reports: ReadonlyMap<string, ModuleReport>;
  readonly restoredBlocks: number;
  readonly computedBlocks: number;
  readonly seconds: number;
  /** Of a stage of scope `model`. */
  readonly removal: ModelRemoval | undefined;
}

/** The targets of one block, or those outside blocks. */
interface Batch {
  readonly key: BatchKey;
  /** Its place among the stage's batches. */
  readonly position: number;
  readonly targets: readonly TargetModule<unknown>[];
}

/**
 * Runs one stage over the model. Tensor-scope stages take block after block without data. Block-scope stages stream: the calibration windows are embedded,
 * then each block is calibrated, compressed, journaled and run once more with its new weights to make the next block's inputs. Every block-scope stage
 * makes a pass of its own, from the embedding, over the model as the stages before left it.
 */
export async function runStage(run: StageRun, stage: PreparedStage): Promise<StageOutcome> {
  const started = performance.now();
  const execution = new StageExecution(run, stage);
  run.core.emit('stage:start', { stage: stage.index, technique: stage.technique.id, modules: stage.targets.length, blocks: execution.blockCount });
  await execution.run();
  const seconds = (performance.now() - started) / 1000;
  run.core.emit('stage:done', { stage: stage.index, technique: stage.technique.id, seconds });
  // Restored reports come in the journal's order; sums over them must not depend on that.
  const reports = new Map(stage.targets.map(({ info }) => [info.name, execution.reports.get(info.name)!]));
  return { reports, restoredBlocks: execution.restoredBlocks, computedBlocks: execution.computedBlocks, seconds, removal: execution.removal };
}

/** The stage with the sizes that its targets really have: a ranking over all blocks decides widths that a plan can only estimate. */
export function onModel(stage: PreparedStage, model: Model): PreparedStage {
  const infos = new Map(model.modules.map((info) => [info.name, info]));
  if (stage.targets.every(({ info }) => String(infos.get(info.name)?.shape) === String(info.shape))) return stage;
  const targets = stage.targets.map((target) => ({ ...target, info: infos.get(target.info.name)! }));
  return { ...stage, targets, plans: new Map(stage.technique.plan(targets, model).map((plan) => [plan.module, plan])) };
}

class StageExecution {
  readonly reports = new Map<string, ModuleReport>();
  readonly #run: StageRun;
  readonly #stage: PreparedStage;
  readonly #batches: readonly Batch[];
  /** Batches that an earlier run finished. */
  readonly #finished = new Map<Batch, BatchSummary>();
  removal: ModelRemoval | undefined;
  restoredBlocks = 0;
  computedBlocks = 0;

  constructor(run: StageRun, stage: PreparedStage) {
    this.#run = run;
    this.#stage = stage;
    const byBlock = new Map<number | undefined, TargetModule<unknown>[]>();
    for (const target of stage.targets) {
      const block = stage.technique.scope === 'training' ? undefined : target.info.block;
      const list = byBlock.get(block);
      if (list === undefined) byBlock.set(block, [target]);
      else list.push(target);
    }
    // Modules outside blocks come first: the embedding feeds every block.
    this.#batches = [...byBlock]
      .sort(([a], [b]) => (a ?? -1) - (b ?? -1))
      .map(([block, targets], position) => ({ key: { stage: stage.index, block }, position, targets }));
  }

  get blockCount(): number {
    return this.#batches.length;
  }

  async run(): Promise<void> {
    if (this.#stage.technique.scope === 'model') return this.#runWhole();
    for (const batch of this.#batches) {
      const summary = await this.#run.journal.summary(batch.key);
      if (summary !== undefined && batch.targets.every(({ info }) => summary.reports.has(info.name))) this.#finished.set(batch, summary);
    }
    if (this.#stage.technique.scope === 'block') await this.#runStreaming();
    else await this.#runDataFree();
  }

  /** Model scope: one call, whose result says what is taken out. */
  async #runWhole(): Promise<void> {
    const { journal, core, signal } = this.#run;
    const { technique, index, targets, label } = this.#stage;
    const batch = { key: { stage: index, block: undefined }, position: 0, targets };
    const started = performance.now();
    const note = `stage-${String(index)}-removal`;
    const kept = await journal.note<{ readonly removal: ModelRemoval; readonly reports: readonly (readonly [string, ModuleReport])[] }>(note);
    this.#announceStart(batch);
    if (kept === undefined) await this.#apply(batch, targets, this.#current(), {}, 0);
    else this.removal = kept.removal;
    if (this.removal === undefined) throw pareError('PARE_RESULT_INVALID', { plugin: `technique "${technique.id}"`, module: label, problem: 'nothing was handed in' });
    const reports = new Map(kept?.reports ?? targets.map(({ info }) => [info.name, this.reports.get(info.name) ?? {}]));
    if (kept === undefined) await journal.writeNote(note, { removal: this.removal, reports: [...reports] });
    await journal.removeWork(batch.key);
    for (const [module, report] of reports) {
      this.reports.set(module, report);
      core.emit('module:done', { stage: index, technique: technique.id, module, report });
    }
    throwIfAborted(signal, 'compression');
    if (kept === undefined) this.computedBlocks++;
    else this.restoredBlocks++;
    this.#announceDone(batch, (performance.now() - started) / 1000, kept !== undefined);
  }

  #remove(source: Model, removal: ModelRemoval, reports: ReadonlyMap<string, ModuleReport>): void {
    const { technique, label } = this.#stage;
    const problem = technique.scope === 'model' ? (this.removal === undefined ? undefined : 'a second removal') : `a removal, by a technique of scope ${technique.scope}`;
    if (problem !== undefined) throw pareError('PARE_RESULT_INVALID', { plugin: `technique "${technique.id}"`, module: label, problem });
    this.#run.library.sliceModel(source, removal);
    this.removal = removal;
    for (const [module, report] of reports) this.reports.set(module, finiteReport(report));
  }

  /** Tensor scope: batch by batch, nothing runs through the model. */
  async #runDataFree(): Promise<void> {
    for (const batch of this.#batches) {
      if (this.#restore(batch)) continue;
      await this.#timed(batch, () => this.#apply(batch, batch.targets, this.#current(), {}, 0));
    }
  }

  /** Block scope: hidden states flow through the blocks up to the last one that is not finished. */
  async #runStreaming(): Promise<void> {
    const { library, backend, signal, windows } = this.#run;
    const lastUnfinished = this.#batches.findLast((batch) => !this.#finished.has(batch))?.key.block;
    if (lastUnfinished !== undefined) {
      const byBlock = new Map(this.#batches.map((batch) => [batch.key.block, batch]));
      const { technique, targets } = this.#stage;
      const original = targets.every(({ options }) => technique.inputs?.(options) === 'original') ? this.#current() : undefined;
      let at = 0;
      await using runner = library.createBlockRunner({
        model: this.#current(),
        backend,
        signal,
        spillBytes: this.#run.spillBytes,
        // Temporary folders often lie in memory, which is what spilling is to save.
        spillDirectory: this.#run.journal.directory,
        onProgress: ({ task, completed, total }) => {
          const detail = task === 'embed' ? 'embedding' : `${task === 'collect' ? 'calibrating' : 'running'} block ${String(at)}`;
          this.#run.core.emit('progress', { task: this.#stage.label, completed, total, unit: 'chunks', detail });
        },
      });
      await using hidden = await runner.embed(windows);
      for (let block = 0; block <= lastUnfinished; block++) {
        at = block;
        throwIfAborted(signal, 'compression');
        const batch = byBlock.get(block);
        // Nobody reads what comes out of the last one.
        const advance = async (made?: BatchOutcome): Promise<void> => (block < lastUnfinished ? runner.advance(block, hidden, original ?? this.#current(made)) : undefined);
        // The block runs on what was just made while that goes to the journal.
        if (batch === undefined || this.#restore(batch)) await advance();
        else await this.#timed(batch, () => this.#compressBlock(batch, block, runner, hidden), advance);
      }
    }
    for (const batch of this.#batches) if (lastUnfinished === undefined || batch.key.block! > lastUnfinished) this.#restore(batch);
  }

  /** Statistics of a block and the technique on them: at once, or step by step with each step's statistics taken after the earlier steps were replaced. */
  async #compressBlock(batch: Batch, block: number, runner: BlockRunner, hidden: HiddenStates): Promise<BatchOutcome> {
    const outcomes = { modules: new Map<string, ModuleOutcome>(), parameters: new Map<string, DenseWeight>() };
    const add = ({ modules, parameters }: BatchOutcome): void => {
      for (const [module, outcome] of modules) outcomes.modules.set(module, outcome);
      for (const [name, weight] of parameters) outcomes.parameters.set(name, weight);
      // A step may adjust the matrix that a later step then compresses.
      for (const module of modules.keys()) outcomes.parameters.delete(`${module}.weight`);
    };
    const steps = this.#isSequential(batch) ? [...new Set(batch.targets.map(({ info }) => info.step))].sort((a, b) => a - b) : [undefined];
    for (const [position, step] of steps.entries()) {
      const targets = step === undefined ? batch.targets : batch.targets.filter(({ info }) => info.step === step);
      const source = this.#current(outcomes);
      const requests = targets.flatMap(({ info, options }) => {
        const statistics = this.#statistics(options);
        return statistics.length === 0 ? [] : [{ module: info.name, statistics }];
      });
      using statistics = requests.length === 0 ? undefined : await runner.collect(block, hidden, requests, source);
      const tokens = Math.max(...targets.map(({ options }) => this.#stage.technique.trialTokens?.(options) ?? 0));
      using trials = tokens > 0 ? runner.trials(block, hidden, tokens, source) : undefined;
      add(await this.#apply(batch, targets, source, { statistics, trials }, position));
    }
    return outcomes;
  }

  /** One call of the technique. */
  async #apply(
    batch: Batch,
    targets: readonly TargetModule<unknown>[],
    source: Model,
    { statistics, trials }: { readonly statistics?: CollectedStatistics | undefined; readonly trials?: BlockTrials | undefined },
    step: number,
  ): Promise<BatchOutcome> {
    const { core, backend, signal, seed, model } = this.#run;
    const { technique, index, label } = this.#stage;
    const plugin = `technique "${technique.id}"`;
    const options = new Map(targets.map((target) => [target.info.name, target.options]));
    const handles = createHandles(targets, {
      technique,
      plans: this.#stage.plans,
      source,
      statistics,
      declared: (module) => this.#statistics(options.get(module)),
      onReplace: (module, { report }) => {
        core.emit('module:done', { stage: index, technique: technique.id, module, report });
        if (report.fallback !== undefined) core.emit('warning', { code: 'PARE_FALLBACK', message: `${label}, ${module}: ${report.fallback}` });
      },
    });
    const { block } = batch.key;
    const parameters = createParameters(targets, { technique, source, library: this.#run.library, block: technique.scope === 'training' ? 'all' : block });
    const context: TechniqueContext<unknown> = {
      ...(await createPluginContext(core, {
        plugin: technique.id,
        task: label,
        deps: technique.deps,
        signal,
        seed: deriveSeed(seed, index, block ?? -1, step),
        backend,
      })),
      model: source,
      original: this.#run.original,
      windows: technique.scope !== 'block' && readsText(this.#stage) ? this.#run.windows : [],
      prompts: technique.scope === 'training' ? this.#run.prompts : undefined,
      tokenizer: () => this.#run.library.openTokenizer(source.directory, source.files),
      modules: handles.modules,
      parameters: parameters.handles,
      trials,
      targets: this.#stage.targets,
      work: this.#run.journal.workFolder(batch.key, step),
      remove: async (removal, reports = new Map()) => {
        this.#remove(source, removal, reports);
      },
      block: block === undefined ? undefined : { index: block, count: model.description.blocks.length, name: model.description.blocks[block]!.name },
    };
    try {
      await technique.apply(context);
      throwIfAborted(signal, 'compression');
      if (technique.scope !== 'model') handles.requireAll();
    } catch (error) {
      const where = technique.scope === 'training' ? 'the model' : block === undefined ? 'modules outside blocks' : `block ${String(block)}`;
      throw pluginFailure(error, signal, `working on ${where}`, { plugin, stage: label });
    }
    return { modules: handles.outcomes, parameters: parameters.outcomes };
  }

  /** Computes a batch, keeps its results on disk, does something else with them meanwhile, and tells how long it took. */
  async #timed(batch: Batch, work: () => Promise<BatchOutcome>, beside: (outcomes: BatchOutcome) => Promise<void> = () => Promise.resolve()): Promise<void> {
    throwIfAborted(this.#run.signal, 'compression');
    const started = performance.now();
    this.#announceStart(batch);
    const outcomes = await work();
    const [written, done] = await Promise.allSettled([this.#run.journal.write(batch.key, outcomes), beside(outcomes)]);
    if (written.status === 'rejected') throw written.reason;
    this.#adopt(batch, { reports: new Map([...outcomes.modules].map(([module, { report }]) => [module, report])), parameters: [...outcomes.parameters.keys()] });
    this.computedBlocks++;
    this.#announceDone(batch, (performance.now() - started) / 1000, false);
    if (done.status === 'rejected') throw done.reason;
  }

  /** Takes a finished batch from the journal; false when it has to be computed. */
  #restore(batch: Batch): boolean {
    const summary = this.#finished.get(batch);
    if (summary === undefined) return false;
    const { technique, index } = this.#stage;
    this.#announceStart(batch);
    for (const [module, report] of summary.reports) this.#run.core.emit('module:done', { stage: index, technique: technique.id, module, report });
    this.#adopt(batch, summary);
    this.restoredBlocks++;
    this.#announceDone(batch, 0, true);
    return true;
  }

  #adopt(batch: Batch, { reports, parameters }: BatchSummary): void {
    const { journal, results } = this.#run;
    for (const [module, report] of reports) {
      this.reports.set(module, report);
      // Read from disk whenever it is needed: results do not pile up in memory.
      results.set(module, { ...this.#stage.plans.get(module)!, ...report.became }, () => journal.form(batch.key, module));
    }
    for (const name of parameters) results.adjust(name, async () => (await journal.form(batch.key, name)) as DenseWeight);
  }

  /** The model as it is now, with results of the block at work laid over it. */
  #current(unfinished?: BatchOutcome): Model {
    const { library, model } = this.#run;
    const results = this.#run.results.copy();
    for (const [module, { form, report }] of unfinished?.modules ?? []) results.set(module, { ...this.#stage.plans.get(module)!, ...report.became }, () => Promise.resolve(form));
    for (const [name, weight] of unfinished?.parameters ?? []) results.adjust(name, () => Promise.resolve(weight));
    return results.over(model, library);
  }

  #statistics(options: unknown): readonly StatisticRef<unknown>[] {
    return this.#stage.technique.statistics?.(options) ?? [];
  }

  #isSequential(batch: Batch): boolean {
    const { technique } = this.#stage;
    return batch.targets.some(({ options }) => technique.sequential?.(options) === true);
  }

  #announceStart({ position }: Batch): void {
    this.#run.core.emit('block:start', { stage: this.#stage.index, technique: this.#stage.technique.id, block: position, blocks: this.blockCount });
  }

  #announceDone({ position }: Batch, seconds: number, restored: boolean): void {
    this.#run.core.emit('block:done', { stage: this.#stage.index, technique: this.#stage.technique.id, block: position, blocks: this.blockCount, seconds, restored });
  }
}
