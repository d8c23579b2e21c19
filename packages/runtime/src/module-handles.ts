import { pareError, type Model, type ModuleHandle, type ModulePlan, type ModuleReport, type StatisticRef, type TargetModule, type Technique } from '@pare/core';
import type { CollectedStatistics } from '@pare/model';
import { formProblem, planCorrection } from '@pare/weights';
import type { ModuleOutcome } from './journal.js';

export interface HandleContext {
  readonly technique: Technique;
  /** What was promised for each module. */
  readonly plans: ReadonlyMap<string, ModulePlan>;
  /** The model as earlier stages and steps left it. */
  readonly source: Model;
  readonly statistics: CollectedStatistics | undefined;
  /** Statistics that were collected, for each module. */
  declared(module: string): readonly StatisticRef<unknown>[];
  /** Told of every result as it comes in. */
  onReplace(module: string, outcome: ModuleOutcome): void;
}

/** The handles a technique gets for its targets, and the results it hands in through them. */
export interface HandleSet {
  readonly modules: readonly ModuleHandle<unknown>[];
  readonly outcomes: ReadonlyMap<string, ModuleOutcome>;
  /** @throws PARE_RESULT_INVALID when a module was left without a result */
  requireAll(): void;
}

export function createHandles(targets: readonly TargetModule<unknown>[], context: HandleContext): HandleSet {
  const { technique, source } = context;
  const plugin = `technique "${technique.id}"`;
  const outcomes = new Map<string, ModuleOutcome>();
  const invalid = (module: string, problem: string): Error => pareError('PARE_RESULT_INVALID', { plugin, module, problem });

  const modules = targets.map(({ info, options, before }): ModuleHandle<unknown> => ({
    info,
    options,
    before,
    weight: () => source.denseWeight(info.name),
    form: () => source.weight(info.name),
    async statistic<T>(ref: StatisticRef<T>): Promise<T> {
      const declared = context.declared(info.name);
      if (context.statistics === undefined || !declared.some(({ id }) => id === ref.id)) {
        throw pareError('PARE_STATISTIC_UNDECLARED', { plugin, module: info.name, statistic: ref.id, declared: declared.map(({ id }) => id) });
      }
      return context.statistics.get(info.name, ref);
    },
    replace(form, report = {}) {
      if (outcomes.has(info.name)) return Promise.reject(invalid(info.name, 'a second result'));
      const problem = formProblem(form, info, technique.produces);
      if (problem !== undefined) return Promise.reject(invalid(info.name, problem));
      const outcome = { form, report: { ...finiteReport(report), ...planCorrection(form, context.plans.get(info.name)!) } };
      outcomes.set(info.name, outcome);
      context.onReplace(info.name, outcome);
      return Promise.resolve();
    },
  }));

  return {
    modules,
    outcomes,
    requireAll() {
      const left = targets.find(({ info }) => !outcomes.has(info.name));
      if (left !== undefined) throw invalid(left.info.name, 'nothing was handed in');
    },
  };
}

/** The report without what JSON cannot hold, so that a restored report equals the original. */
export function finiteReport(report: ModuleReport): ModuleReport {
  const details = Object.entries(report.details ?? {}).filter(([, value]) => Number.isFinite(value));
  return {
    ...(report.loss !== undefined && Number.isFinite(report.loss) ? { loss: report.loss } : {}),
    ...(report.fallback !== undefined ? { fallback: report.fallback } : {}),
    ...(details.length > 0 ? { details: Object.fromEntries(details) } : {}),
  };
}
