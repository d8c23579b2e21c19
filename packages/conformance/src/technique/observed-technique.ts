import type { ModuleHandle, ModuleInfo, ModulePlan, Technique } from '@pare/core';

/** What a suite wants to know of a technique at work. */
export interface TechniqueObserver {
  onApply?(): void;
  /** Before a weight, form or statistic is handed out. */
  onRead?(module: string): void;
  onReplace?(module: string): void;
  onPlan?(targets: readonly ModuleInfo[], plan: readonly ModulePlan[]): void;
}

/** The same technique, watched. */
export function observedTechnique<O>(technique: Technique<O>, observer: TechniqueObserver): Technique<O> {
  const watch = (module: ModuleHandle<O>): ModuleHandle<O> => {
    const { name } = module.info;
    return {
      ...module,
      weight: () => (observer.onRead?.(name), module.weight()),
      form: () => (observer.onRead?.(name), module.form()),
      statistic: (ref) => (observer.onRead?.(name), module.statistic(ref)),
      replace: (form, report) => (observer.onReplace?.(name), module.replace(form, report)),
    };
  };
  return {
    ...technique,
    plan(targets, summary) {
      const plan = technique.plan(targets, summary);
      observer.onPlan?.(targets.map(({ info }) => info), plan);
      return plan;
    },
    apply(context) {
      observer.onApply?.();
      return technique.apply({ ...context, modules: context.modules.map(watch) });
    },
  };
}
